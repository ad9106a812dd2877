// CRC16 and slots against Redis Cluster and a bit-by-bit implementation over real UTF-8; the finaliser against its inverse.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crc16, mix32, slotOfKey } from "../../src/base/hash.ts";
import { SLOT_COUNT } from "../../src/base/ids.ts";

/** CRC16-XMODEM as its definition has it, bit by bit. */
function slowCrc16(text: string): number {
  let crc = 0;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    crc &= 0xffff;
  }
  return crc;
}

/** Any sequence of code units, lone surrogates included, with the interesting ranges often. */
const anyText = fc
  .array(
    fc.oneof(
      fc.integer({ min: 0x20, max: 0x7e }),
      fc.integer({ min: 0x7f, max: 0x801 }),
      fc.integer({ min: 0xd7ff, max: 0xe000 }),
      fc.integer({ min: 0, max: 0xffff }),
    ),
    { maxLength: 40 },
  )
  .map((units) => String.fromCharCode(...units));

describe("crc16", () => {
  test("is 0x31C3 for the check text of CRC16-XMODEM", () => {
    expect(crc16("123456789")).toBe(0x31c3);
  });

  test("is 0 for the empty text", () => {
    expect(crc16("")).toBe(0);
  });

  test.each([
    ["one byte", "a~\u007f"],
    ["two bytes", "\u0080é\u07ff"],
    ["three bytes", "\u0800€\uffff"],
    ["four bytes", "😀\u{10ffff}"],
    ["a lone high surrogate at the end", "a\ud83d"],
    ["a lone high surrogate before a letter", "\ud83da"],
    ["a lone low surrogate", "\ude00a"],
    ["two high surrogates before a low one", "\ud83d\ud83d\ude00"],
    ["a pair the wrong way round", "\ude00\ud83d"],
  ])("is that of the UTF-8 bytes when characters take %s", (_, text) => {
    expect(crc16(text)).toBe(slowCrc16(text));
  });

  test("is that of the UTF-8 bytes of any text", () => {
    fc.assert(
      fc.property(anyText, (text) => crc16(text) === slowCrc16(text)),
      { numRuns: 1000 },
    );
  });

  test("is that of the part when a start and an end are given, even inside a surrogate pair", () => {
    const parts = fc.tuple(anyText, fc.nat(40), fc.nat(40));
    fc.assert(
      fc.property(parts, ([text, one, two]) => {
        const [start, end] = [Math.min(one, two, text.length), Math.min(Math.max(one, two), text.length)];
        return crc16(text, start, end) === slowCrc16(text.slice(start, end));
      }),
      { numRuns: 1000 },
    );
    expect(crc16("😀", 0, 1)).toBe(slowCrc16("\ud83d"));
  });
});

describe("slotOfKey", () => {
  // Values of CLUSTER KEYSLOT in Redis.
  test.each([
    ["123456789", 12739],
    ["foo", 12182],
    ["bar", 5061],
    ["hello", 866],
    ["", 0],
  ])("is Redis Cluster's slot for %j", (key, slot) => {
    expect(slotOfKey(key)).toBe(slot);
  });

  test.each([
    ["{user1000}.following", "user1000"],
    ["{user1000}.followers", "user1000"],
    ["a{b}c", "b"],
    ["foo{bar}{zap}", "bar"],
    ["foo{{bar}}zap", "{bar"],
    ["a}b{c}", "c"],
    ["{é😀}", "é😀"],
  ])("hashes only the tag when the key is %j", (key, tag) => {
    expect(slotOfKey(key)).toBe(slowCrc16(tag) % SLOT_COUNT);
  });

  test.each(["foo{}{bar}", "{}", "{", "}{", "a{b", "a}b", "{}a}"])(
    "hashes the whole key when it is %j",
    (key) => {
      expect(slotOfKey(key)).toBe(slowCrc16(key) % SLOT_COUNT);
    },
  );

  test("spreads keys evenly", () => {
    const counts = new Uint32Array(16);
    for (let index = 0; index < 160_000; index++) counts[slotOfKey(`user:${index}`) >>> 10]! += 1;

    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });
});

describe("mix32", () => {
  // Reference: the 32-bit finaliser of MurmurHash3 in big integers.
  const slowMix32 = (value: number): number => {
    let mixed = BigInt.asUintN(32, BigInt(value));
    mixed = BigInt.asUintN(32, (mixed ^ (mixed >> 16n)) * 0x85ebca6bn);
    mixed = BigInt.asUintN(32, (mixed ^ (mixed >> 13n)) * 0xc2b2ae35n);
    return Number(mixed ^ (mixed >> 16n));
  };

  test("equals MurmurHash3's finaliser for any 32 bits, signed or not", () => {
    expect(mix32(0)).toBe(0);
    expect(mix32(1)).toBe(0x514e28b7);
    fc.assert(
      fc.property(
        fc.integer({ min: -(2 ** 31), max: 2 ** 32 - 1 }),
        (value) => mix32(value) === slowMix32(value),
      ),
    );
  });
});
