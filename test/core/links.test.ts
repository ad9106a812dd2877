import { describe, expect, test } from "vitest";
import type { MemberId } from "../../src/base/ids.ts";
import { PeerLinks } from "../../src/core/links.ts";
import { Outbox } from "../../src/core/replication/outbox.ts";

const B = "b" as MemberId;
const C = "c" as MemberId;
const WALL_MS = 1_800_000_000_000;

function at(monoMs: number) {
  return { monoMs, wallMs: WALL_MS + monoMs };
}

function makeLinks(members: readonly MemberId[] = [B]) {
  const outbox = new Outbox((id) => `${id}:1`);
  const links = new PeerLinks(2, outbox);
  links.track(members);
  const kinds = () =>
    outbox
      .take()
      .map((effect) => (effect.kind === "send" ? `${effect.message.kind} ${effect.to}` : effect.kind));
  return { links, kinds };
}

/** A pong of a peer whose clocks are ahead by this much, after a trip of so long. */
function pong(sentMs: number, tripMs: number, ahead: { readonly monoMs?: number; readonly wallMs?: number }) {
  const half = sentMs + tripMs / 2;
  return {
    kind: "pong",
    sentMs,
    monoMs: half + (ahead.monoMs ?? 0),
    wallMs: WALL_MS + half + (ahead.wallMs ?? 0),
  } as const;
}

describe("PeerLinks", () => {
  test("pings every member each 250 ms", () => {
    const { links, kinds } = makeLinks([B, C]);

    links.tick(at(0));
    expect(kinds()).toEqual(["ping b", "ping c"]);
    links.tick(at(100));
    expect(kinds()).toEqual([]);
    expect(links.deadline()).toBe(250);
    links.tick(at(250));

    expect(kinds()).toEqual(["ping b", "ping c"]);
  });

  test("has no deadline when there is nobody to ping", () => {
    expect(makeLinks([]).links.deadline()).toBe(Number.POSITIVE_INFINITY);
  });

  test("reaches a member once it is heard, and says so once", () => {
    const { links } = makeLinks();

    expect(links.isReachable(B)).toBe(false);
    expect(links.heard(B, at(0))).toBe(true);
    expect(links.heard(B, at(1))).toBe(false);
    expect(links.isReachable(B)).toBe(true);
    expect(links.heard(C, at(1))).toBe(false);
  });

  test("loses a member that is silent for two pings and a half, and has it dialled anew, not too often", () => {
    const { links, kinds } = makeLinks();
    links.link(B, true, at(0));
    links.heard(B, at(0));
    const lost: number[] = [];
    const redials: number[] = [];

    for (let ms = 0; ms <= 2_000; ms += 50) {
      if (links.tick(at(ms)).length > 0) lost.push(ms);
      if (kinds().includes("redial")) redials.push(ms);
    }

    expect(lost).toEqual([750]);
    expect(links.isReachable(B)).toBe(false);
    expect(redials).toEqual([750, 1_250, 1_750]);
  });

  test("loses a member with its connection, once", () => {
    const { links } = makeLinks();
    links.heard(B, at(0));

    expect(links.link(B, false, at(1))).toBe(true);
    expect(links.link(B, false, at(2))).toBe(false);
  });

  test("blames nobody for its own stall", () => {
    const { links } = makeLinks();
    links.heard(B, at(0));

    links.stalled(at(5_000));

    expect(links.tick(at(5_000))).toEqual([]);
    expect(links.isReachable(B)).toBe(true);
  });

  test("knows when the latest ping was sent that a member answered, in whatever order the answers come", () => {
    const { links } = makeLinks();
    expect(links.answeredMs(B)).toBe(Number.NEGATIVE_INFINITY);

    links.heard(B, at(300));
    links.pong(B, pong(200, 4, {}), at(300));
    links.pong(B, pong(100, 4, {}), at(310));
    expect(links.answeredMs(B)).toBe(200);
    links.pong(B, pong(9_000, 4, {}), at(400));

    expect(links.answeredMs(B)).toBe(400);
    expect(links.answeredMs(C)).toBe(Number.NEGATIVE_INFINITY);
  });

  test("translates instants early, never late, and not at all while it does not know", () => {
    const { links } = makeLinks();
    expect(links.toPeerMono(B, 500)).toBe(0);
    links.pong(B, pong(100, 40, { monoMs: 7_000 }), at(140));
    const rough = links.toPeerMono(B, 500);
    links.pong(B, pong(200, 2, { monoMs: 7_000 }), at(202));
    const close = links.toPeerMono(B, 500);

    expect(rough).toBe(7_480);
    expect(close).toBe(7_499);
  });

  test("forgets the clock of a process that may be gone, and samples that are old", () => {
    const { links } = makeLinks();
    links.pong(B, pong(0, 0, { monoMs: 7_000 }), at(0));
    links.link(B, false, at(10));
    expect(links.toPeerMono(B, 500)).toBe(0);

    links.pong(B, pong(20, 0, { monoMs: 100 }), at(20));
    expect(links.toPeerMono(B, 500)).toBe(600);
    for (const ms of [16_000, 32_000, 48_000]) links.pong(B, pong(ms, 0, { monoMs: 90 }), at(ms));

    expect(links.toPeerMono(B, 50_000)).toBe(50_090);
  });

  test("forgets the clock of a process that was replaced without a word", () => {
    const { links } = makeLinks();
    links.pong(B, pong(0, 0, { monoMs: 7_000 }), at(0));

    // No connection was lost: the new process says what the old one cannot have said.
    links.pong(B, pong(10, 4, { monoMs: 100 }), at(14));
    expect(links.toPeerMono(B, 500)).toBe(598);

    links.restarted(B);
    expect(links.toPeerMono(B, 500)).toBe(0);
  });

  test("takes the lower median of the cluster's clocks, this node's included, from three on", () => {
    const { links } = makeLinks([B, C]);
    links.heard(B, at(0));
    links.pong(B, pong(0, 0, { wallMs: 900 }), at(0));
    expect(links.clusterSkewMs()).toBeUndefined();

    links.heard(C, at(0));
    links.pong(C, pong(0, 0, { wallMs: 800 }), at(0));

    expect(links.clusterSkewMs()).toBe(800);
  });

  test("forgets members that are tracked no more", () => {
    const { links } = makeLinks([B, C]);
    links.heard(B, at(0));

    links.track([C]);

    expect(links.isReachable(B)).toBe(false);
    expect(links.heard(B, at(1))).toBe(false);
  });
});
