// One source of a copy: how much is asked for, and how soon after the last answer.

import { describe, expect, test } from "vitest";
import type { MemberId, Slot } from "../../../src/base/ids.ts";
import { CopySource } from "../../../src/core/replication/copy-source.ts";

function makeSource(slots: number): CopySource {
  const source = new CopySource("a" as MemberId);
  for (let slot = 0; slot < slots; slot++) source.queue(slot as Slot);
  return source;
}

function sourceWith(slots: readonly number[], isUrgent?: (slot: Slot) => boolean): CopySource {
  const source = new CopySource("a" as MemberId, isUrgent);
  for (const slot of slots) source.queue(slot as Slot);
  return source;
}

/** Asks, and answers the first `slotsDone` slots after `tookMs`. Returns how many were asked for. */
function exchange(
  source: CopySource,
  nowMs: number,
  { slotsDone = Number.POSITIVE_INFINITY, tookMs = 1, rests = false },
): number {
  const slots = source.next();
  const done = Math.min(slotsDone, slots.length);
  source.answered({ id: 1, slots, sentMs: nowMs - tookMs }, { slotsDone: done, rests }, nowMs);
  source.taken(done);
  return slots.length;
}

describe("CopySource", () => {
  test("asks for more with each answer that is whole, as long as answers are quick", () => {
    const source = makeSource(4_000);

    const asked = [1, 2, 3, 4, 5, 6].map((ms) => exchange(source, ms, {}));

    expect(asked).toEqual([64, 128, 256, 256, 256, 256]);
  });

  test("asks for about as many slots as an answer has room for", () => {
    const source = makeSource(2_000);

    const asked = [1, 2, 3, 4].map((ms) => exchange(source, ms, { slotsDone: 5 }));

    expect(asked).toEqual([64, 10, 10, 10]);
  });

  test("asks for some slots after an answer that held a part of one, and for more once answers are whole again", () => {
    const source = makeSource(2_000);

    const asked = [1, 2, 3, 4].map((ms) => exchange(source, ms, ms === 1 ? { slotsDone: 0 } : {}));

    expect(asked).toEqual([64, 4, 8, 16]);
  });

  test("asks for slots that came in pieces in one question, in order", () => {
    const source = sourceWith([8, 9, 3, 4, 1]);

    expect(source.next()).toEqual([1, 3, 4, 8, 9]);
    source.taken(2);
    expect(source.next()).toEqual([4, 8, 9]);
    expect(source.giveBack()).toEqual([4, 8, 9]);
  });

  test("goes on first with the slot of which a part has come, and with those before it afterwards", () => {
    const source = sourceWith([5, 7]);
    expect(source.next()).toEqual([5, 7]);
    source.after = "key";
    for (const slot of [6, 2]) source.queue(slot as Slot);

    expect(source.next()).toEqual([5, 6, 7]);
    source.taken(3);
    expect(source.next()).toEqual([2]);
  });

  test("asks for urgent slots by themselves", () => {
    const source = sourceWith([2, 9, 1, 5], (slot) => slot === 2 || slot === 9);

    expect(source.next()).toEqual([2, 9]);
    source.taken(2);
    expect(source.next()).toEqual([1, 5]);
  });

  test("waits when answers take longer than the quickest", () => {
    const source = makeSource(4_000);
    exchange(source, 10, {});

    exchange(source, 100, { tookMs: 41 });

    expect(source.nextMs).toBe(140);
    expect(source.next()).toHaveLength(256);
  });

  test("rests for many times what the first answer took while callers are served, and for fewer with each quick one", () => {
    const source = makeSource(100_000);

    const rests = Array.from({ length: 40 }, (_, index) => {
      exchange(source, 1_000 * index, { tookMs: 2, rests: true });
      return source.nextMs - 1_000 * index;
    });

    expect(rests[0]).toBeCloseTo(2 * 12 * 0.9);
    expect(rests.toSorted((a, b) => b - a)).toEqual(rests);
    expect(rests.at(-1)).toBe(10);
  });
});
