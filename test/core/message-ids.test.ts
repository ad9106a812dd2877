import { describe, expect, test } from "vitest";
import { Prng } from "../../src/base/prng.ts";
import { MessageIds } from "../../src/core/message-ids.ts";

describe("MessageIds", () => {
  test("issues ascending numbers from a random one", () => {
    const ids = new MessageIds(new Prng(1));
    const first = ids.next();

    expect(ids.next()).toBe(first + 1);
    expect(new MessageIds(new Prng(2)).next()).not.toBe(first);
  });

  test("goes on with 1 after the last number that the wire can carry", () => {
    const ids = new MessageIds({ uint32: () => 0xffff_fffd } as Prng);

    expect([ids.next(), ids.next(), ids.next(), ids.next()]).toEqual([0xffff_fffe, 0xffff_ffff, 1, 2]);
  });
});
