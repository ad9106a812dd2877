import { describe, expect, test } from "vitest";
import type { MemberId } from "../../../src/base/ids.ts";
import { Prng } from "../../../src/base/prng.ts";
import { type ProbeAction, Prober, type ProbeView, RELAYS_MAX } from "../../../src/core/membership/prober.ts";
import { MEMBERSHIP_DEFAULTS } from "../../../src/core/options.ts";

const id = (name: string) => name as MemberId;
const PEERS = ["a", "b", "c", "d", "e"].map(id);

function viewOf(peers: readonly MemberId[], score = 0): ProbeView {
  return { isProbeable: (peer) => peers.includes(peer), targets: peers, helpers: peers, score };
}

function start(peers: readonly MemberId[] = PEERS) {
  const prober = new Prober(MEMBERSHIP_DEFAULTS, new Prng(7), 0);
  const out: ProbeAction[] = [];
  for (const peer of peers) prober.add(peer, 0);
  return { prober, out, view: viewOf(peers), startMs: prober.deadlineMs(true) };
}

const take = (out: ProbeAction[]) => out.splice(0);

describe("Prober in rounds", () => {
  test("Prober probes every member once per round, in an order that differs from round to round", () => {
    const { prober, out, view, startMs } = start();
    const rounds: MemberId[][] = [];

    for (let round = 0; round < 4; round++) {
      const order: MemberId[] = [];
      for (let turn = 0; turn < PEERS.length; turn++) {
        prober.tickRound(view, startMs + (round * PEERS.length + turn) * 500, out);
        const [probe] = take(out);
        if (probe?.do !== "probe") throw new Error("expected a probe");
        prober.onAck(probe.target, probe.seq, out);
        take(out);
        order.push(probe.target);
      }
      rounds.push(order);
    }

    for (const order of rounds) expect([...order].sort()).toEqual(PEERS);
    expect(new Set(rounds.map((order) => order.join())).size).toBeGreaterThan(1);
  });

  test("Prober asks helpers after the timeout and gives its verdict at the end of the interval", () => {
    const { prober, out, view, startMs } = start();

    prober.tickRound(view, startMs, out);
    const [probe] = take(out);
    prober.tick(view, startMs + 199, out);
    expect(take(out)).toEqual([]);
    prober.tick(view, startMs + 200, out);
    const requests = take(out);
    prober.tick(view, startMs + 500, out);

    expect(requests).toHaveLength(3);
    for (const request of requests) {
      expect(request).toMatchObject({ do: "request", target: (probe as { target: MemberId }).target });
      expect(request).not.toMatchObject({ helper: (probe as { target: MemberId }).target });
    }
    expect(take(out)).toMatchObject([{ do: "verdict", outcome: "silent", awarenessDelta: 3 }]);
  });

  test("Prober stretches the interval, not the timeout, when this node is in bad health", () => {
    const { prober, out, startMs } = start();
    const ill = viewOf(PEERS, 2);

    prober.tickRound(ill, startMs, out);
    prober.tick(ill, startMs + 200, out);
    expect(take(out)).toHaveLength(4);
    prober.tick(ill, startMs + 1_499, out);
    prober.tickRound(ill, startMs + 1_499, out);
    expect(take(out)).toEqual([]);
    prober.tick(ill, startMs + 1_500, out);
    prober.tickRound(ill, startMs + 1_500, out);

    expect(take(out).map((action) => action.do)).toEqual(["verdict", "probe"]);
  });

  test("Prober takes the preferred member next", () => {
    const { prober, out, view, startMs } = start();

    prober.prefer(id("d"), startMs);
    prober.tickRound(view, startMs, out);

    expect(out).toMatchObject([{ do: "probe", target: "d" }]);
  });

  test("Prober skips who cannot be probed, and does nothing when nobody can", () => {
    const { prober, out, startMs } = start();

    for (let turn = 0; turn < 10; turn++) prober.tickRound(viewOf([id("c")]), startMs + turn * 500, out);
    expect(new Set(out.map((action) => "target" in action && action.target))).toEqual(new Set(["c"]));
    take(out);
    prober.tickRound(viewOf([]), startMs + 9_000, out);

    expect(out).toEqual([]);
  });
});

describe("Prober and answers", () => {
  test("Prober believes an answer of the target only, or of a helper that was asked", () => {
    const { prober, out, view, startMs } = start();
    prober.prefer(id("a"), startMs);
    prober.tickRound(view, startMs, out);
    const [probe] = take(out);
    if (probe?.do !== "probe") throw new Error("expected a probe");

    prober.onAck(id("b"), probe.seq, out);
    expect(take(out)).toEqual([]);
    prober.onAck(id("a"), probe.seq + 1, out);
    expect(take(out)).toEqual([]);
    prober.onAck(id("a"), probe.seq, out);

    expect(take(out)).toMatchObject([
      { do: "verdict", target: "a", outcome: "answered", awarenessDelta: -1 },
    ]);
  });

  test("Prober counts helpers that gave no sign against its own health, not those that sent a nack", () => {
    const { prober, out, view, startMs } = start();
    prober.tickRound(view, startMs, out);
    take(out);
    prober.tick(view, startMs + 200, out);
    const [first, second] = take(out);
    if (first?.do !== "request" || second?.do !== "request") throw new Error("expected requests");

    prober.onNack(first.helper, first.seq, view, out);
    prober.onNack(first.helper, first.seq, view, out);
    prober.onNack(second.helper, second.seq, view, out);
    prober.tick(view, startMs + 500, out);

    expect(take(out)).toMatchObject([{ outcome: "silent", awarenessDelta: 1 }]);
  });

  test("Prober decides an urgent probe as soon as all helpers sent a nack", () => {
    const { prober, out, view } = start();
    prober.probeUrgently(id("a"), view, 1_000, out);
    const [probe, ...requests] = take(out);

    expect(probe).toMatchObject({ do: "probe", target: "a" });
    expect(requests).toHaveLength(3);
    for (const request of requests) {
      if (request.do === "request") prober.onNack(request.helper, request.seq, view, out);
    }

    expect(take(out)).toMatchObject([{ do: "verdict", target: "a", outcome: "silent", awarenessDelta: 0 }]);
  });

  test("Prober decides an urgent probe after 1.25 timeouts when helpers say nothing", () => {
    const { prober, out, view } = start();
    prober.probeUrgently(id("a"), view, 1_000, out);
    take(out);

    prober.tick(view, 1_249, out);
    expect(take(out)).toEqual([]);
    prober.tick(view, 1_250, out);

    expect(take(out)).toMatchObject([{ outcome: "silent", awarenessDelta: 3 }]);
  });

  test("Prober drops what is under way about a member without a verdict", () => {
    const { prober, out, view } = start();
    prober.probeUrgently(id("a"), view, 1_000, out);
    take(out);

    prober.drop(id("a"));
    prober.tick(view, 9_000, out);

    expect(take(out)).toEqual([]);
  });

  test("Prober gives answers time to arrive after a stall, and puts a late verdict off once", () => {
    const { prober, out, view } = start();
    prober.probeUrgently(id("a"), view, 1_000, out);
    take(out);

    prober.shift(1_000, 2_240);
    prober.tick(view, 2_240, out);
    expect(take(out)).toEqual([]);
    prober.postponeDue(2_260, 2_280);
    prober.tick(view, 2_260, out);
    expect(take(out)).toEqual([]);
    prober.postponeDue(2_290, 2_310);
    prober.tick(view, 2_290, out);

    expect(take(out)).toMatchObject([{ do: "verdict", outcome: "silent" }]);
  });
});

describe("Prober as a helper", () => {
  const request = { asker: id("z"), address: "z:1", seq: 77, target: id("a") };

  test("Prober passes the target's ack on to the asker", () => {
    const { prober, out } = start();
    prober.relay(request, 0, out);
    const [probe] = take(out);
    if (probe?.do !== "probe") throw new Error("expected a probe");

    prober.onAck(id("a"), probe.seq, out);

    expect(take(out)).toEqual([{ do: "ack", to: "z", address: "z:1", seq: 77 }]);
  });

  test("Prober sends a nack at 80 % of the timeout, and nothing after it", () => {
    const { prober, out, view } = start();
    prober.relay(request, 0, out);
    const [probe] = take(out);
    if (probe?.do !== "probe") throw new Error("expected a probe");

    prober.tick(view, 159, out);
    expect(take(out)).toEqual([]);
    prober.tick(view, 160, out);
    expect(take(out)).toEqual([{ do: "nack", to: "z", address: "z:1", seq: 77 }]);
    prober.onAck(id("a"), probe.seq, out);

    expect(take(out)).toEqual([]);
  });

  test("Prober ignores requests past its bound", () => {
    const { prober, out } = start();

    for (let seq = 0; seq < RELAYS_MAX + 5; seq++) prober.relay({ ...request, seq }, 0, out);

    expect(out).toHaveLength(RELAYS_MAX);
  });
});
