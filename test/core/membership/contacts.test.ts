import { describe, expect, test } from "vitest";
import type { MemberId } from "../../../src/base/ids.ts";
import { Prng } from "../../../src/base/prng.ts";
import { Contacts } from "../../../src/core/membership/contacts.ts";

const id = (name: string) => name as MemberId;

function contactsOf(seeds: readonly string[]): Contacts {
  return new Contacts({ seeds, selfAddress: "me:1", healIntervalMs: 2_000 }, new Prng(3), 0);
}

/** Walks the time in ms and notes when something was due. */
function times(untilMs: number, isDue: (nowMs: number) => boolean): number[] {
  return Array.from({ length: untilMs }, (_, nowMs) => nowMs).filter(isDue);
}

describe("Contacts while alone", () => {
  test("Contacts asks the seeds at once, then 250 ms to 2 s apart, for ever", () => {
    const contacts = contactsOf(["a:1", "b:1"]);

    const at = times(20_000, (nowMs) => contacts.seedsDue(nowMs).length > 0);

    const gaps = at.slice(1).map((atMs, index) => atMs - at[index]!);
    expect(at[0]).toBe(0);
    expect(gaps[0]).toBeGreaterThanOrEqual(250);
    expect(gaps[0]).toBeLessThan(280);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(2_201);
    expect(gaps.at(-1)).toBeGreaterThanOrEqual(2_000);
  });

  test("Contacts skips its own address and repeated seeds", () => {
    expect(contactsOf(["a:1", "me:1", "a:1"]).seedsDue(0)).toEqual(["a:1"]);
    expect(contactsOf(["me:1"]).seedsDue(0)).toEqual([]);
    expect(contactsOf(["me:1"]).aloneDeadlineMs).toBe(Number.POSITIVE_INFINITY);
  });

  test("Contacts gives every seed of a long list its turn", () => {
    const seeds = Array.from({ length: 20 }, (_, index) => `s${index}:1`);
    const contacts = contactsOf(seeds);

    const asked = [0, 5_000, 10_000].map((nowMs) => contacts.seedsDue(nowMs));

    expect(asked.map((round) => round.length)).toEqual([8, 8, 8]);
    expect(new Set(asked.flat())).toEqual(new Set(seeds));
  });

  test("Contacts tells that it waits after 2 s, then at doubling intervals up to a minute", () => {
    const contacts = contactsOf(["a:1"]);

    const at = times(200_000, (nowMs) => contacts.isWaitingNewsDue(nowMs));

    expect(at).toEqual([2_000, 6_000, 14_000, 30_000, 62_000, 122_000, 182_000]);
  });
});

describe("Contacts later", () => {
  test("Contacts tries one of the dead or of the unseen seeds per interval, and in time each of them", () => {
    const contacts = contactsOf(["a:1", "b:1"]);
    const unseen = contacts.unseenSeeds((address) => address === "b:1");
    const tried = new Set<string>();

    const at = times(60_000, (nowMs) => {
      const contact = contacts.healDue([id("x"), id("y")], unseen, nowMs);
      if (contact !== undefined) tried.add("seed" in contact ? contact.seed : contact.member);
      return contact !== undefined;
    });

    expect(unseen).toEqual(["a:1"]);
    expect(tried).toEqual(new Set(["x", "y", "a:1"]));
    expect(at[1]! - at[0]!).toBe(2_000);
  });

  test("Contacts tries nobody when nobody is missing", () => {
    expect(contactsOf([]).healDue([], [], 10_000)).toBeUndefined();
  });
});
