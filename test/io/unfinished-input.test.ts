import { describe, expect, test } from "vitest";
import { UnfinishedInput } from "../../src/io/unfinished-input.ts";

const KIB = 1024;

class Writer {
  unfinished = { bytes: 0, since: 0 };
  cutFor: string | undefined;

  terminate(reason: string): void {
    this.cutFor = reason;
  }
}

function make(...kibibytes: readonly number[]) {
  const input = new UnfinishedInput(100 * KIB);
  const writers = kibibytes.map((count) => {
    const writer = new Writer();
    writer.unfinished = { bytes: count * KIB, since: 0 };
    return writer;
  });
  const look = (nowMs: number): readonly number[] => {
    const there = writers.filter(({ cutFor }) => cutFor === undefined);
    input.look(there, nowMs);
    return writers.flatMap(({ cutFor }, index) => (cutFor === "slow writer" ? [index] : []));
  };
  return { writers, look };
}

describe("UnfinishedInput", () => {
  test("cuts nobody below the bound, however long a frame takes", () => {
    const { look } = make(60, 40);

    expect(look(0)).toEqual([]);
    expect(look(60_000)).toEqual([]);
  });

  test("cuts who has been at a frame for longest, as far as needed, once it had a second", () => {
    const { writers, look } = make(0, 50, 60);
    expect(look(0)).toEqual([]);
    writers[0]!.unfinished = { bytes: 90 * KIB, since: 0 };

    expect(look(500)).toEqual([]);
    expect(look(999)).toEqual([]);
    // The two that began first, 50 and 60 KiB: without the first 150 are left, without both 90.
    expect(look(1_000)).toEqual([1, 2]);
    expect(look(9_000)).toEqual([1, 2]);
  });

  test("begins anew with each frame", () => {
    const { writers, look } = make(200);
    look(0);
    writers[0]!.unfinished = { bytes: 200 * KIB, since: 7 };

    expect(look(1_000)).toEqual([]);
    expect(look(2_000)).toEqual([0]);
  });
});
