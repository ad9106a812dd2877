// The real hashes against published xxHash vectors: a wrong seed, sign or padding here would split clusters in two.

import { describe, expect, test } from "vitest";
import { loadHashes } from "../../src/io/hashes.ts";

const hashes = await loadHashes();

describe("loadHashes", () => {
  test("returns the same object when called again", async () => {
    expect(await loadHashes()).toBe(hashes);
  });

  test.each([
    ["", 0x02cc5d05],
    ["a", 0x550d7456],
    ["abc", 0x32d153ff],
    ["Nobody inspects the spammish repetition", 0xe2293b2f],
  ])("hash32 is xxHash32 with seed 0 and unsigned when given %j", (text, expected) => {
    expect(hashes.hash32(text)).toBe(expected);
  });

  test("hashWords32 answers what hash32 does for ASCII text of every length", () => {
    for (let length = 0; length <= 100; length++) {
      const text = Array.from({ length }, (_, index) =>
        String.fromCharCode((index * 37 + length) % 128),
      ).join("");
      const words = new Int32Array(26);
      for (let at = 0; at < length; at++) words[at >> 2]! |= text.charCodeAt(at) << ((at & 3) * 8);

      expect(hashes.hashWords32?.(words, length), `length ${length}`).toBe(hashes.hash32(text));
    }
  });

  test("hash32 depends on the seed when one is given", () => {
    expect(hashes.hash32("abc", 1)).not.toBe(hashes.hash32("abc"));
    expect(hashes.hash32("abc", 0)).toBe(hashes.hash32("abc"));
  });

  test.each([
    ["", "ef46db3751d8e999"],
    ["a", "d24ec4f1a98c6e5b"],
    ["abc", "44bc2cf5ad770999"],
    ["Nobody inspects the spammish repetition", "fbcea83c8a378bf1"],
  ])("hash64Hex is xxHash64 with seed 0 when given %j", (text, expected) => {
    expect(hashes.hash64Hex(text)).toBe(expected);
  });

  test("hash64Hex has 16 lower-case digits when the hash begins with zeros", () => {
    const results = Array.from({ length: 2000 }, (_, index) => hashes.hash64Hex(`key-${index}`));

    expect(results.some((hex) => hex.startsWith("00"))).toBe(true);
    for (const hex of results) expect(hex).toMatch(/^[0-9a-f]{16}$/);
  });

  test("hashes count a lone surrogate as U+FFFD when the text is not well-formed", () => {
    expect(hashes.hash32("a\ud800b")).toBe(hashes.hash32("a\ufffdb"));
    expect(hashes.hash64Hex("a\udc00")).toBe(hashes.hash64Hex("a\ufffd"));
  });
});
