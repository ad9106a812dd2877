import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addToDigest, entryHash, subtractFromDigest } from "../../../src/core/store/digest.ts";

const MODULUS = 2n ** 53n;
const residue = fc.maxSafeInteger().map(Math.abs);

describe("addToDigest and subtractFromDigest", () => {
  test("are exact modulo 2^53", () => {
    fc.assert(
      fc.property(residue, residue, (sum, hash) => {
        expect(addToDigest(sum, hash)).toBe(Number((BigInt(sum) + BigInt(hash)) % MODULUS));
        expect(subtractFromDigest(sum, hash)).toBe(Number((BigInt(sum) - BigInt(hash) + MODULUS) % MODULUS));
        expect(subtractFromDigest(addToDigest(sum, hash), hash)).toBe(sum);
      }),
    );
  });

  test.each([
    [0, 0],
    [2 ** 53 - 1, 1],
    [2 ** 53 - 1, 2 ** 53 - 1],
    [1, 2 ** 53 - 1],
  ])("hold at the edges: %i and %i", (sum, hash) => {
    expect(addToDigest(sum, hash)).toBe(Number((BigInt(sum) + BigInt(hash)) % MODULUS));
    expect(subtractFromDigest(addToDigest(sum, hash), hash)).toBe(sum);
  });
});

describe("entryHash", () => {
  test("is a 53-bit integer that is the same in every engine and release", () => {
    const hashes = [
      entryHash(0, { version: 1, origin: 0 }),
      entryHash(0xdeadbeef, { version: 1_700_000_000_000_123, origin: 0xffffffff }),
      entryHash(0xdeadbeef | 0, { version: 1_700_000_000_000_123, origin: 0xffffffff }),
    ];

    for (const hash of hashes) expect(Number.isSafeInteger(hash) && hash >= 0).toBe(true);
    expect(hashes[1]).toBe(hashes[2]);
    expect(hashes).toMatchInlineSnapshot(`
      [
        804215951,
        7773907504922447,
        7773907504922447,
      ]
    `);
  });

  test("does not collide among a hundred thousand versions of neighbouring keys", () => {
    const seen = new Set<number>();
    for (let key = 0; key < 100; key++) {
      for (let step = 0; step < 1000; step++) {
        seen.add(entryHash(key, { version: 1_700_000_000_000_000 + step * 1024, origin: 7 }));
      }
    }

    expect(seen.size).toBe(100_000);
  });
});
