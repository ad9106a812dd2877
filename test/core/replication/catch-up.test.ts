import { beforeAll, describe, expect, test } from "vitest";
import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId } from "../../../src/base/ids.ts";
import type { CatchUpReply } from "../../../src/core/messages.ts";
import { CatchUp } from "../../../src/core/replication/catch-up.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { at, makeFixture, SELF, sent } from "./fixture.ts";

const B = "b" as MemberId;
const C = "c" as MemberId;
let hashes: Hashes;

beforeAll(async () => {
  hashes = await loadHashes();
});

function makeCatchUp() {
  const fixture = makeFixture(hashes);
  const doubted: MemberId[] = [];
  const { slots } = fixture;
  const catchUp = new CatchUp({
    ...fixture,
    doubtShared: (member) => doubted.push(member),
    doubt: (named) => {
      for (const slot of named) slots.doubt(slot);
    },
  });
  const asked = () =>
    sent(fixture.outbox.take()).flatMap(([to, message]) =>
      message.kind === "catchUp" ? [{ to, id: message.id }] : [],
    );
  const reply = (id: number, over: Partial<CatchUpReply> = {}): CatchUpReply => ({
    kind: "catchUpReply",
    id,
    isDrained: true,
    slots: [],
    ...over,
  });
  return { ...fixture, catchUp, doubted, asked, reply };
}

describe("CatchUp", () => {
  test("is behind until everybody but itself said that nothing is left", () => {
    const { catchUp, asked, reply } = makeCatchUp();
    catchUp.begin([SELF, B, C], at(0));
    const [b, c] = asked();
    expect([b?.to, c?.to]).toEqual([B, C]);

    catchUp.replied(B, reply(b!.id), at(1));
    expect(catchUp.isBehind).toBe(true);
    catchUp.replied(C, reply(c!.id), at(1));

    expect(catchUp.isBehind).toBe(false);
  });

  test("asks again until a member has nothing left, 50 ms apart", () => {
    const { catchUp, asked, reply } = makeCatchUp();
    catchUp.begin([B], at(0));
    catchUp.replied(B, reply(asked()[0]!.id, { isDrained: false }), at(1));
    catchUp.tick(at(40));
    expect(asked()).toEqual([]);

    catchUp.tick(at(50));
    catchUp.replied(B, reply(asked()[0]!.id), at(51));

    expect(catchUp.isBehind).toBe(false);
  });

  test("does not take an answer to an earlier question for one to the present", () => {
    const { catchUp, asked, reply } = makeCatchUp();
    catchUp.begin([B], at(0));
    const early = asked()[0]!.id;

    // The answer waited in a socket while this node stood still and others went on without it.
    catchUp.begin([B], at(5_000));
    catchUp.replied(B, reply(early), at(5_001));

    expect(catchUp.isBehind).toBe(true);
    catchUp.replied(B, reply(asked()[0]!.id), at(5_002));
    expect(catchUp.isBehind).toBe(false);
  });

  test("takes the late answer to any question since it began", () => {
    const { catchUp, asked, reply } = makeCatchUp();
    catchUp.begin([B], at(0));
    const first = asked()[0]!.id;
    catchUp.tick(at(60));

    catchUp.replied(B, reply(first), at(70));

    expect(catchUp.isBehind).toBe(false);
  });

  test("gives up who cannot be reached after two seconds, and doubts what they share", () => {
    const { catchUp, usable, doubted } = makeCatchUp();
    usable.delete(B);
    catchUp.begin([B], at(0));
    catchUp.tick(at(2_000));
    expect(catchUp.isBehind).toBe(true);

    catchUp.tick(at(2_001));

    expect(catchUp.isBehind).toBe(false);
    expect(doubted).toEqual([B]);
  });

  test("does not wait for who is no member any more", () => {
    const { catchUp, gone } = makeCatchUp();
    gone.add(B);

    catchUp.begin([B], at(0));

    expect(catchUp.isBehind).toBe(false);
  });

  test("doubts the slots that a member names, asked or not", () => {
    const { catchUp, slots, reply } = makeCatchUp();

    catchUp.replied(B, reply(0, { slots: [slotOfKey("k")] }), at(0));

    expect(slots.isDoubtful(slotOfKey("k"))).toBe(true);
  });
});
