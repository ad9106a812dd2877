import { describe, expect, test } from "vitest";
import { UnreadOutput } from "../../src/io/unread-output.ts";

class Reader {
  cutFor: string | undefined;

  terminate(reason: string): void {
    this.cutFor = reason;
  }
}

function make(count: number) {
  const clock = { nowMs: 0 };
  const unread = new UnreadOutput(100, () => clock.nowMs);
  const readers = Array.from({ length: count }, () => new Reader());
  const cut = () => readers.flatMap(({ cutFor }, index) => (cutFor === undefined ? [] : [index]));
  return { clock, unread, readers, cut };
}

describe("UnreadOutput", () => {
  test("is full above the bound, and not any more when somebody has read", () => {
    const { unread, readers } = make(2);

    unread.waits(readers[0]!, 60);
    unread.waits(readers[1]!, 40);
    expect(unread.isFull()).toBe(false);
    unread.waits(readers[1]!, 41);
    expect(unread.isFull()).toBe(true);
    unread.waits(readers[0]!, 0);

    expect(unread.isFull()).toBe(false);
  });

  test("cuts who has taken nothing for the longest, and nobody else, once it had two seconds", () => {
    const { clock, unread, readers, cut } = make(3);
    for (const reader of readers) {
      unread.waits(reader, 45);
      clock.nowMs += 100;
    }

    clock.nowMs = 1_999;
    expect([unread.isFull(), cut()]).toEqual([true, []]);
    clock.nowMs = 2_000;

    expect([unread.isFull(), cut()]).toEqual([false, [0]]);
    expect(readers[0]!.cutFor).toBe("slow reader");
  });

  test("cuts nobody while there is room, however long they take", () => {
    const { clock, unread, readers, cut } = make(2);
    for (const reader of readers) unread.waits(reader, 50);

    clock.nowMs = 1_000_000;

    expect([unread.isFull(), cut()]).toEqual([false, []]);
  });

  test("takes reading for a sign of life, and being given more for none", () => {
    const { clock, unread, readers, cut } = make(2);
    unread.waits(readers[0]!, 60);
    unread.waits(readers[1]!, 60);

    clock.nowMs = 1_500;
    unread.waits(readers[0]!, 59);
    unread.waits(readers[1]!, 61);
    clock.nowMs = 2_000;

    expect([unread.isFull(), cut()]).toEqual([false, [1]]);
  });
});
