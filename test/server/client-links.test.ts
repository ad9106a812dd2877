import { describe, expect, test } from "vitest";
import type { Input } from "../../src/core/machine.ts";
import type { ClientRequest, Failure } from "../../src/core/messages.ts";
import { ClientLinks, CONNECTION_PENDING_MAX } from "../../src/server/client-links.ts";
import { MetricWriter } from "../../src/server/prometheus.ts";
import { RequestMetrics } from "../../src/server/request-metrics.ts";
import { FakeLink } from "./fakes.ts";

const get = (id: number): ClientRequest => ({
  kind: "get",
  id,
  key: "k",
  read: "one",
  want: "value",
  notAfter: 0,
});

function setUp() {
  const inputs: Input[] = [];
  const givenBack: Uint8Array[] = [];
  const metrics = new RequestMetrics();
  let nowMs = 0;
  const clients = new ClientLinks({
    feed: (input) => inputs.push(input),
    nowMs: () => nowMs,
    waitedMs: () => 12,
    metrics,
    onDenied: () => {},
    giveBack: (value) => givenBack.push(value),
    refusal: (id): Failure => ({
      kind: "failed",
      id,
      code: "ERR_CLOSED",
      message: "Node n1 is stopping",
      applied: "no",
      elsewhere: true,
    }),
  });
  return {
    inputs,
    givenBack,
    metrics,
    clients,
    open: (capabilities: readonly string[] = []) =>
      new FakeLink("client", { capabilities }).open((link) => clients.accept(link)),
    passTime: (ms: number) => {
      nowMs += ms;
      return nowMs;
    },
    page: () => {
      const writer = new MetricWriter();
      metrics.write(writer);
      return writer.toString();
    },
  };
}

describe("ClientLinks", () => {
  test("tells the core when a client comes, what it asks, and when it goes", () => {
    const { inputs, open } = setUp();

    const link = open();
    link.receive(get(1), { kind: "ping", sentMs: 5 });
    link.terminate();

    expect(inputs).toEqual([
      { kind: "clientOpened", client: 1 },
      { kind: "clientBatch", client: 1, requests: [get(1), { kind: "ping", sentMs: 5 }], waitedMs: 12 },
      { kind: "clientClosed", client: 1 },
    ]);
  });

  test("sends replies to the client they are for, and to nobody once it has gone", () => {
    const { clients, open } = setUp();
    const links = [open(), open()];

    clients.reply(2, { kind: "commanded", id: 1 }, 0);
    links[1]!.terminate();
    clients.reply(2, { kind: "commanded", id: 2 }, 0);

    expect(links.map(({ sent }) => sent)).toEqual([[], [{ kind: "commanded", id: 1 }]]);
  });

  test("gives values back that were written out", () => {
    const { clients, givenBack } = setUp();
    const handlers = clients.accept(new FakeLink("client", {}));
    const value = new Uint8Array(10_000);
    const got = { kind: "got", id: 1, found: true, format: 1, value, version: 0, expiresAt: 0 } as const;

    handlers.onLargeWritten?.([{ kind: "written", id: 2, outcome: true }, got]);

    expect(givenBack).toEqual([value]);
  });

  test("times a request from its arrival to its answer and counts how it ended", () => {
    const { clients, open, passTime, page } = setUp();
    open().receive(get(1), get(2));

    clients.reply(1, { kind: "commanded", id: 1 }, passTime(40));
    clients.reply(
      1,
      { kind: "failed", id: 2, code: "ERR_TIMEOUT", message: "", applied: "no", elsewhere: false },
      passTime(0),
    );

    expect(page()).toContain('ringhold_requests_total{kind="get",outcome="ok"} 1\n');
    expect(page()).toContain('ringhold_requests_total{kind="get",outcome="ERR_TIMEOUT"} 1\n');
    expect(page()).toContain('ringhold_request_seconds_sum{kind="get"} 0.08\n');
  });

  test("knows how many requests are under way, whatever clients do with their ids", () => {
    const { clients, open } = setUp();
    const link = open();

    link.receive(get(1), get(1), get(2), { kind: "ping", sentMs: 1 });
    expect(clients.underWayCount).toBe(3);
    clients.reply(1, { kind: "commanded", id: 1 }, 0);
    clients.reply(1, { kind: "commanded", id: 1 }, 0);
    expect(clients.underWayCount).toBe(1);
    link.terminate();

    expect(clients.underWayCount).toBe(0);
    expect(clients.count).toBe(0);
  });

  test("refuses new requests while draining so that clients go elsewhere, and answers the others", () => {
    const { clients, inputs, open } = setUp();
    const link = open();
    link.receive(get(1));

    clients.drain();
    link.receive(get(2), { kind: "ping", sentMs: 1 });
    clients.reply(1, { kind: "commanded", id: 1 }, 0);

    expect(link.sent).toMatchObject([
      { kind: "failed", id: 2, code: "ERR_CLOSED", applied: "no", elsewhere: true },
      { kind: "commanded", id: 1 },
    ]);
    expect(inputs.at(-1)).toMatchObject({ request: { kind: "ping" } });
    expect(clients.underWayCount).toBe(0);
  });

  test("answers with an error when the answer is too large for a frame", () => {
    const { open } = setUp();
    const link = open();

    link.oversized({
      kind: "got",
      id: 3,
      found: true,
      format: 0,
      value: new Uint8Array(9),
      version: 0,
      expiresAt: 0,
    });

    expect(link.sent).toMatchObject([{ kind: "failed", id: 3, code: "ERR_TOO_LARGE", elsewhere: false }]);
  });

  test("tells a client that knows it in one message that its requests were refused, and another one by one", () => {
    const { clients, open, page } = setUp();
    const links = [open(["overloaded"]), open()];

    for (const client of [1, 2])
      clients.reply(client, { kind: "overloaded", ids: [4, 5], retryAfterMs: 40 }, 0);

    expect(links[0]!.sent).toEqual([{ kind: "overloaded", ids: [4, 5], retryAfterMs: 40 }]);
    const failure = { kind: "failed", code: "ERR_OVERLOADED", applied: "no", elsewhere: false };
    expect(links[1]!.sent).toMatchObject([
      { ...failure, id: 4 },
      { ...failure, id: 5 },
    ]);
    expect(page()).toContain('ringhold_requests_total{kind="get",outcome="ERR_OVERLOADED"} 4\n');
  });

  test("refuses what would give one connection more than its share of unanswered requests, heartbeats excepted", () => {
    const { clients, inputs, open } = setUp();
    const link = open(["overloaded"]);
    for (let id = 0; id < CONNECTION_PENDING_MAX; id += 1_024)
      link.receive(...Array.from({ length: 1_024 }, (_, index) => get(id + index)));
    expect(link.sent).toEqual([]);

    link.receive(get(90_000), { kind: "ping", sentMs: 1 }, get(90_001));

    expect(link.sent).toMatchObject([{ kind: "overloaded", ids: [90_000, 90_001] }]);
    expect(inputs.at(-1)).toMatchObject({ request: { kind: "ping" } });
    expect(clients.underWayCount).toBe(CONNECTION_PENDING_MAX);
  });

  test("keeps a connection to its share also when all its requests bear one id", () => {
    const { inputs, open } = setUp();
    const link = open(["overloaded"]);

    for (let sent = 0; sent < 3 * CONNECTION_PENDING_MAX; sent += 1_024)
      link.receive(...Array.from({ length: 1_024 }, () => get(1)));

    const fed = inputs.reduce(
      (sum, input) => sum + (input.kind === "clientBatch" ? input.requests.length : 0),
      0,
    );
    expect(fed).toBeLessThanOrEqual(CONNECTION_PENDING_MAX + 1_024);
  });

  test("closes all links", () => {
    const { clients, open } = setUp();
    const links = [open(), open()];

    clients.close();

    expect(links.map(({ closeReason }) => closeReason)).toEqual(["closed", "closed"]);
  });
});
