import { describe, expect, test } from "vitest";
import type { Input } from "../../src/core/machine.ts";
import type { ClientRequest, Failure } from "../../src/core/messages.ts";
import { ClientLinks } from "../../src/server/client-links.ts";
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
  const metrics = new RequestMetrics();
  let nowMs = 0;
  const clients = new ClientLinks({
    feed: (input) => inputs.push(input),
    nowMs: () => nowMs,
    metrics,
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
    metrics,
    clients,
    open: () => new FakeLink("client").open((link) => clients.accept(link)),
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
      { kind: "clientBatch", client: 1, requests: [get(1), { kind: "ping", sentMs: 5 }] },
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
    expect(clients.underWayCount).toBe(2);
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

  test("closes all links", () => {
    const { clients, open } = setUp();
    const links = [open(), open()];

    clients.close();

    expect(links.map(({ closeReason }) => closeReason)).toEqual(["closed", "closed"]);
  });
});
