import { describe, expect, test } from "vitest";
import type { MemberId, RingId } from "../../src/base/ids.ts";
import type { NodeEvent } from "../../src/core/events.ts";
import { describe as describeEvent, EventFold } from "../../src/server/events.ts";
import { createLogger, type NodeLogger } from "../../src/server/logger.ts";
import { metricsPage } from "../../src/server/metrics.ts";
import { MetricWriter } from "../../src/server/prometheus.ts";
import { RequestMetrics } from "../../src/server/request-metrics.ts";
import { aStatus } from "./fakes.ts";

const member = "n2" as MemberId;
const ringId = "00000000000000aa" as RingId;

/** One of each type; the mapped type makes a forgotten one an error of the compiler. */
const EVENTS: { readonly [Type in NodeEvent["type"]]: Extract<NodeEvent, { type: Type }> } = {
  memberLiveness: { type: "memberLiveness", member, liveness: "suspect", incarnation: 1, by: "" },
  memberRingState: { type: "memberRingState", member, ringState: "active" },
  memberAddress: { type: "memberAddress", member, address: "a:1" },
  memberPlace: { type: "memberPlace", member, zone: "z", weight: 2 },
  refuted: { type: "refuted", incarnation: 2 },
  duplicateId: { type: "duplicateId", member, address: "a:1" },
  stalled: { type: "stalled", ms: 250 },
  genesis: { type: "genesis", genesisId: "g", isFounder: true },
  waitingForSeeds: { type: "waitingForSeeds", seeds: ["a:1"] },
  ringChanged: { type: "ringChanged", ringId, members: 3, slotsGained: 1, slotsLost: 2 },
  peerReachable: { type: "peerReachable", member, isReachable: false },
  fillStarted: { type: "fillStarted", slots: 5 },
  fillFinished: { type: "fillFinished", slots: 5, entries: 9, ms: 10 },
  settled: { type: "settled", ringId },
  filledFromFew: { type: "filledFromFew", slots: 3 },
  hintStored: { type: "hintStored", target: member },
  hintsReplayed: { type: "hintsReplayed", target: member, count: 7 },
  hintsDropped: { type: "hintsDropped", target: member, count: 4, reason: "overflow" },
  caughtUp: { type: "caughtUp", ms: 5 },
  readRepaired: { type: "readRepaired", replicas: 2 },
  writeReissued: { type: "writeReissued" },
  writeDeduplicated: { type: "writeDeduplicated" },
  noQuorum: { type: "noQuorum", write: true },
  clockOff: { type: "clockOff", skewMs: 900, isOff: true },
  versionRefused: { type: "versionRefused", member, aheadMs: 900 },
  forged: { type: "forged", member, what: "version" },
  quarantined: { type: "quarantined", member, ms: 60_000 },
  overload: { type: "overload", isOverloaded: true, waitedMs: 41 },
  evicting: { type: "evicting", member },
  leaving: { type: "leaving" },
  released: { type: "released" },
};

type Line = readonly [level: string, facts: object, text: string];

function recordingLogger(): { readonly logger: NodeLogger; readonly lines: Line[] } {
  const lines: Line[] = [];
  const at = (level: string) => (facts: object, text: string) => {
    lines.push([level, facts, text]);
  };
  return { logger: { error: at("error"), warn: at("warn"), info: at("info"), debug: at("debug") }, lines };
}

function counters(fold: EventFold): string {
  const writer = new MetricWriter();
  fold.write(writer);
  return writer.toString();
}

describe("describe", () => {
  test.each(Object.values(EVENTS))("gives $type a fixed text and a counter with a unit", (event) => {
    const { text, counter, help } = describeEvent(event);

    expect(text).toMatch(/^[a-z][^{}]*$/);
    expect(counter).toMatch(/^[a-z_]+_total$/);
    expect(help).toMatch(/^[A-Z]/);
  });

  test("names different counters with different help, so that no metric has two heads", () => {
    const helps = new Map<string, string>();
    for (const event of Object.values(EVENTS)) {
      const { counter, help } = describeEvent(event);

      expect(helps.get(counter) ?? help).toBe(help);
      helps.set(counter, help);
    }
  });

  test("asks for a human exactly when one must act", () => {
    const errors = Object.values(EVENTS).filter((event) => describeEvent(event).level === "error");

    expect(errors.map(({ type }) => type)).toEqual(["duplicateId", "clockOff", "quarantined"]);
  });

  test("keeps what can happen with each request at debug", () => {
    const perRequest = [
      "hintStored",
      "readRepaired",
      "writeReissued",
      "writeDeduplicated",
      "noQuorum",
    ] as const;

    expect(perRequest.map((type) => describeEvent(EVENTS[type]).level)).toEqual(
      perRequest.map(() => "debug"),
    );
  });
});

describe("EventFold", () => {
  test("logs an event's fields as facts, counts it and tells the listener", () => {
    const { logger, lines } = recordingLogger();
    const told: NodeEvent[] = [];
    const fold = new EventFold(logger, (event) => told.push(event));

    fold.fold(EVENTS.hintsDropped);
    fold.fold(EVENTS.hintsDropped);

    const facts = { target: "n2", count: 4, reason: "overflow" };
    expect(lines[0]).toEqual(["warn", facts, "hints dropped, their slots will be synced instead"]);
    expect(told).toEqual([EVENTS.hintsDropped, EVENTS.hintsDropped]);
    expect(counters(fold)).toContain('ringhold_hints_dropped_total{reason="overflow"} 8\n');
  });

  test("adds facts that the core does not know to the log line only", () => {
    const { logger, lines } = recordingLogger();

    new EventFold(logger).fold(EVENTS.waitingForSeeds, { reasons: { "a:1": "nothing listens there" } });

    expect(lines[0]?.[1]).toEqual({ seeds: ["a:1"], reasons: { "a:1": "nothing listens there" } });
  });

  test("survives a listener that throws, and says so", () => {
    const { logger, lines } = recordingLogger();
    const fold = new EventFold(logger, () => {
      throw new Error("mine");
    });

    fold.fold(EVENTS.leaving);

    expect(lines.map(([level]) => level)).toEqual(["info", "error"]);
  });
});

describe("createLogger", () => {
  test("writes JSON lines with the node's name, the facts and the text", () => {
    const lines: string[] = [];

    createLogger("info", "n1", { write: (line: string) => void lines.push(line) }).info(
      { slots: 3 },
      "settled",
    );

    expect(JSON.parse(lines[0]!)).toMatchObject({ node: "n1", slots: 3, msg: "settled" });
  });

  test("writes nothing when silent", () => {
    const lines: string[] = [];

    createLogger("silent", "n1", { write: (line: string) => void lines.push(line) }).error({}, "x");

    expect(lines).toEqual([]);
  });
});

describe("metricsPage", () => {
  const shell = {
    clients: 2,
    peerLinks: 3,
    messagesDroppedTotal: 4,
    refusalsTotal: new Map([["ERR_UNAUTHORIZED", 5]]),
    deniedTotal: 6,
    loopLateMsMax: 12,
  };

  test("is well-formed: one head per metric, right before its samples, and numbers only", () => {
    const events = new EventFold(recordingLogger().logger);
    for (const event of Object.values(EVENTS)) events.fold(event);
    const requests = new RequestMetrics();
    requests.observe("get", "ERR_TIMEOUT", 3);

    const lines = metricsPage({ events, requests }, aStatus(), shell).trimEnd().split("\n");

    const heads = lines.filter((line) => line.startsWith("# TYPE")).map((line) => line.split(" ")[2]!);
    expect(new Set(heads).size).toBe(heads.length);
    let current = "";
    for (const line of lines) {
      if (line.startsWith("#")) {
        current = line.split(" ")[2]!;
        continue;
      }
      expect(line).toMatch(/^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? (\+Inf|-?[\d.e+-]+)$/);
      expect(line.startsWith(current)).toBe(true);
    }
  });

  test("shows the status, the shell's counts and the process", () => {
    const events = new EventFold(recordingLogger().logger);
    const page = metricsPage({ events, requests: new RequestMetrics() }, aStatus({ isSafe: false }), shell);

    for (const line of [
      "ringhold_ready 1",
      "ringhold_safe 0",
      "ringhold_store_entries 3",
      "ringhold_clients 2",
      'ringhold_connections_refused_total{code="ERR_UNAUTHORIZED"} 5',
      "ringhold_event_loop_late_seconds_max 0.012",
      "ringhold_uptime_seconds 1.5",
    ]) {
      expect(page).toContain(`\n${line}\n`);
    }
    expect(page).toMatch(/\nprocess_resident_memory_bytes \d+\n/);
  });
});

describe("RequestMetrics", () => {
  test("counts by kind and outcome and adds up its buckets", () => {
    const requests = new RequestMetrics();
    for (const ms of [0.05, 0.1, 3, 60_000]) requests.observe("get", "ok", ms);
    requests.observe("write", "ERR_NO_QUORUM", 200);

    const writer = new MetricWriter();
    requests.write(writer);
    const page = writer.toString();

    for (const line of [
      'ringhold_requests_total{kind="get",outcome="ok"} 4',
      'ringhold_requests_total{kind="write",outcome="ERR_NO_QUORUM"} 1',
      'ringhold_request_seconds_bucket{kind="get",le="0.0001"} 2',
      'ringhold_request_seconds_bucket{kind="get",le="0.005"} 3',
      'ringhold_request_seconds_bucket{kind="get",le="5"} 3',
      'ringhold_request_seconds_bucket{kind="get",le="+Inf"} 4',
      'ringhold_request_seconds_count{kind="get"} 4',
    ]) {
      expect(page).toContain(`${line}\n`);
    }
  });
});

describe("MetricWriter", () => {
  test("escapes what labels and help may hold", () => {
    const writer = new MetricWriter();

    writer.metric("m", "gauge", "a\\b\nc");
    writer.sample("m", { l: 'a"b\\c\nd' }, Number.POSITIVE_INFINITY);

    expect(writer.toString()).toBe('# HELP m a\\\\b\\nc\n# TYPE m gauge\nm{l="a\\"b\\\\c\\nd"} +Inf\n');
  });
});
