import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { CacheError } from "../../src/base/errors.ts";
import type { MemberId } from "../../src/base/ids.ts";
import type { NodeEvent } from "../../src/core/events.ts";
import type { Input } from "../../src/core/machine.ts";
import type { Change, Failure, Forward, Gossip, Ping } from "../../src/core/messages.ts";
import type { Link, LinkHandlers } from "../../src/io/link.ts";
import { PeerLinks } from "../../src/server/peer-links.ts";
import { FIRST_TRY } from "../first-try.ts";
import { FakeLink } from "./fakes.ts";

const N2 = "n2" as MemberId;
const PING: Ping = { kind: "ping", sentMs: 1 };
const GOSSIP: Gossip = { kind: "gossip", updates: [] };

interface Dial {
  readonly address: string;
  readonly path: string;
  /** The dialled side answers with this link. */
  answer(link: FakeLink): Promise<void>;
  refuse(error: Error): Promise<void>;
}

function setUp(genesisId = "g1") {
  const self = { id: "n1" as MemberId, generation: 5, genesisId };
  const inputs: Input[] = [];
  const events: NodeEvent[] = [];
  const dials: Dial[] = [];
  const links = new PeerLinks({
    self: () => self,
    dial: (address, path, onLink: (link: Link) => LinkHandlers) =>
      new Promise((resolve, reject) => {
        dials.push({
          address,
          path,
          answer: async (link) => {
            resolve(link.open(onLink));
            await vi.advanceTimersByTimeAsync(0);
          },
          refuse: async (error) => {
            reject(error);
            await vi.advanceTimersByTimeAsync(0);
          },
        });
      }),
    feed: (input) => {
      inputs.push(input);
      if (input.kind === "genesis") self.genesisId = input.genesisId;
    },
    onEvent: (event) => events.push(event),
    nowMs: () => performance.now(),
    random: () => 0,
    onDropped: () => {},
    trace: () => {},
    refusal: (id): Failure => ({
      kind: "failed",
      id,
      code: "ERR_CLOSED",
      message: "stopping",
      applied: "no",
      elsewhere: true,
    }),
  });
  const accept = (link: FakeLink) => link.open((opened) => links.accept(opened));
  const ping = (to: MemberId = N2) =>
    links.send({ kind: "send", to, address: "b:2", path: "peer", message: PING });
  const gossipToSeed = (address = "s:1") =>
    links.send({ kind: "send", to: "", address, path: "gossip", message: GOSSIP });
  return { self, inputs, events, dials, links, accept, ping, gossipToSeed };
}

const up = (member: string, path = "peer") => ({ kind: "link", member, path, isUp: true });
const down = (member: string, path = "peer") => ({ kind: "link", member, path, isUp: false });

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("PeerLinks", () => {
  test("dials a member on its first message, tells the core, and sends", async () => {
    const { dials, inputs, ping } = setUp();
    const link = new FakeLink("peer");

    ping();
    await dials[0]!.answer(link);

    expect(dials).toMatchObject([{ address: "b:2", path: "peer" }]);
    expect(inputs).toEqual([up("n2")]);
    expect(link.sent).toEqual([PING]);
  });

  test("sends on a link that the member opened", () => {
    const { dials, accept, ping } = setUp();
    const link = accept(new FakeLink("peer"));

    ping();

    expect(link.sent).toEqual([PING]);
    expect(dials).toEqual([]);
  });

  test("takes messages as said by the member that proved its identity on the link", () => {
    const { accept, inputs } = setUp();

    accept(new FakeLink("peer", { id: "n3" })).receive(PING);
    accept(new FakeLink("gossip", { id: "n4", address: "d:4" })).receive(GOSSIP);

    expect(inputs.filter(({ kind }) => kind !== "link")).toEqual([
      { kind: "peer", from: "n3", message: PING },
      { kind: "gossip", from: "n4", fromAddress: "d:4", message: GOSSIP },
    ]);
  });

  test("says a member is down when its last link on the path closed", () => {
    const { accept, inputs } = setUp();
    const links = [accept(new FakeLink("peer")), accept(new FakeLink("peer"))];
    accept(new FakeLink("gossip"));

    links[0]!.terminate();
    expect(inputs).toEqual([up("n2"), up("n2", "gossip")]);
    links[1]!.terminate();

    expect(inputs.at(-1)).toEqual(down("n2"));
  });

  test("cuts a silent member's links and dials again at once", async () => {
    const { links, accept, inputs, dials, ping } = setUp();
    ping();
    const link = new FakeLink("peer");
    await dials[0]!.answer(link);
    const inbound = accept(new FakeLink("peer"));

    links.redial(N2, "peer");

    expect([link.isOpen, inbound.isOpen]).toEqual([false, false]);
    expect(inputs).toEqual([up("n2"), down("n2")]);
    expect(dials.map(({ address }) => address)).toEqual(["b:2", "b:2"]);
  });

  test("does not redial whom it has no link with and nothing to say", () => {
    const { links, dials } = setUp();

    links.redial(N2, "peer");

    expect(dials).toEqual([]);
  });

  test("replaces the links of an older process of a member", () => {
    const { accept, inputs } = setUp();
    const old = accept(new FakeLink("peer", { generation: 1 }));

    accept(new FakeLink("peer", { generation: 2 }));

    expect(old.isOpen).toBe(false);
    expect(inputs).toEqual([up("n2"), down("n2"), up("n2")]);
  });

  test("turns an older process of a member away while a newer one is connected", () => {
    const { accept, inputs } = setUp();
    accept(new FakeLink("peer", { generation: 2 }));

    const old = accept(new FakeLink("peer", { generation: 1 }));
    old.receive(PING);

    expect(old.isOpen).toBe(false);
    expect(inputs).toEqual([up("n2")]);
  });

  test("keeps at most four links with one member on one path, the newest ones", () => {
    const { accept, inputs } = setUp();

    const links = Array.from({ length: 6 }, () => accept(new FakeLink("peer")));

    expect(links.map(({ isOpen }) => isOpen)).toEqual([false, false, true, true, true, true]);
    expect(inputs).toEqual([up("n2")]);
  });

  test("does not send to a stranger what was meant for the member that had the address before", async () => {
    const { dials, ping, inputs } = setUp();
    const link = new FakeLink("peer", { id: "n9" });

    ping();
    await dials[0]!.answer(link);

    expect(link.sent).toEqual([]);
    expect(inputs).toEqual([up("n9")]);
    expect(link.isOpen).toBe(true);
  });

  test("learns the cluster from the seed it dialled, before anything else", async () => {
    const { dials, inputs, gossipToSeed } = setUp("");
    const link = new FakeLink("gossip", { genesisId: "g7" });

    gossipToSeed();
    await dials[0]!.answer(link);

    expect(inputs).toEqual([{ kind: "genesis", genesisId: "g7" }, up("n2", "gossip")]);
    expect(link.sent).toEqual([GOSSIP]);
  });

  test("reaches a seed on its link again, by its address and by its id", async () => {
    const { dials, links, gossipToSeed } = setUp();
    const link = new FakeLink("gossip");
    gossipToSeed();
    await dials[0]!.answer(link);

    gossipToSeed();
    links.send({ kind: "send", to: N2, address: "b:2", path: "gossip", message: GOSSIP });

    expect(link.sent).toHaveLength(3);
    expect(dials).toHaveLength(1);
  });

  test("does not let whoever calls first say which cluster this is", () => {
    const { accept, inputs } = setUp("");

    const link = accept(new FakeLink("gossip", { genesisId: "g7" }));
    link.receive(GOSSIP);

    expect(link.isOpen).toBe(false);
    expect(inputs).toEqual([]);
  });

  test("lets a node that does not know its cluster yet in", () => {
    const { accept } = setUp();

    const link = accept(new FakeLink("gossip", { genesisId: "" }));

    expect(link.isOpen).toBe(true);
  });

  const refusals: [string, Partial<FakeLink["remote"]>, string, string, string][] = [
    ["itself", { id: "n1", generation: 5 }, "g1", "ERR_PROTOCOL", "s:1 is this node itself"],
    ["its own name", { id: "n1", generation: 6 }, "g1", "ERR_PROTOCOL", "names must differ"],
    ["another cluster", { genesisId: "g2" }, "g1", "ERR_PROTOCOL", "belongs to another cluster"],
    ["something nameless", { id: "" }, "g1", "ERR_PROTOCOL", "is not a node"],
    ["a node without a cluster", { genesisId: "" }, "", "ERR_UNREACHABLE", "does not know its cluster yet"],
  ];
  test.each(refusals)("turns away %s and says why", async (_what, remote, genesisId, code, text) => {
    const { dials, links, inputs, gossipToSeed } = setUp(genesisId);
    const link = new FakeLink("gossip", remote);

    gossipToSeed();
    await dials[0]!.answer(link);

    const error = links.seedErrors().get("s:1") as CacheError;
    expect(error.code).toBe(code);
    expect(error.message).toContain(text);
    expect(link.isOpen).toBe(false);
    expect(inputs).toEqual([]);
  });

  test("reports another process with its own name", () => {
    const { accept, events } = setUp();

    accept(new FakeLink("gossip", { id: "n1", generation: 6, address: "x:1" }));

    expect(events).toEqual([{ type: "duplicateId", member: "n1", address: "x:1" }]);
  });

  test("keeps the reason why a seed was not reached, and forgets it when it is", async () => {
    const { dials, links, gossipToSeed } = setUp();
    gossipToSeed();
    await dials[0]!.refuse(new Error("s:1 refused the connection"));
    expect(links.seedErrors().get("s:1")?.message).toBe("s:1 refused the connection");

    await vi.advanceTimersByTimeAsync(50);
    await dials[1]!.answer(new FakeLink("gossip"));

    expect(links.seedErrors().size).toBe(0);
  });

  test("hands on what a frame held in one piece, but for what is meant for the door", () => {
    const { accept, inputs } = setUp();
    const door = { kind: "doorAddress", address: "d:1" } as const;

    accept(new FakeLink("peer", { id: "n3" })).receive(PING, PING, door, PING);

    expect(inputs.slice(1)).toEqual([
      { kind: "peerBatch", from: "n3", messages: [PING, PING] },
      { kind: "peer", from: "n3", message: door },
      { kind: "peer", from: "n3", message: PING },
    ]);
  });

  test("refuses forwarded requests while draining, and takes everything else", () => {
    const { accept, links, inputs } = setUp();
    const link = accept(new FakeLink("peer"));
    const request = {
      kind: "get" as const,
      id: 9,
      key: "k",
      read: "one" as const,
      want: "value" as const,
      notAfter: 0,
    };

    links.drain();
    link.receive({ kind: "forward", id: 3, request }, PING);

    expect(link.sent).toMatchObject([
      { kind: "forwarded", id: 3, reply: { kind: "failed", id: 9, applied: "no", elsewhere: true } },
    ]);
    expect(inputs.slice(1)).toEqual([{ kind: "peer", from: "n2", message: PING }]);
  });

  test("tells a member only what its version knows, and only on an open link", () => {
    const { accept, links } = setUp();
    const message = { kind: "doorAddress", address: "d:1" } as const;
    expect(links.tell(N2, message)).toBe(false);
    const old = accept(new FakeLink("peer", { id: "n3", capabilities: [] }));
    const link = accept(new FakeLink("peer"));

    expect(links.tell("n3" as MemberId, message)).toBe(false);
    expect(links.tell(N2, message)).toBe(true);

    expect(old.sent).toEqual([]);
    expect(link.sent).toEqual([message]);
  });

  test.each<[string, Change]>([
    ["a put", { type: "put", value: undefined, format: 0, expiresAt: 0, condition: "none", ifVersion: 0 }],
    ["an increment of integers only", { type: "increment", by: 1, ttlMs: 0, integersOnly: true }],
  ])("sends %s back that the member's version does not know", (_name, change) => {
    const { accept, links, inputs } = setUp();
    const old = accept(new FakeLink("peer", { capabilities: [] }));
    const rest = {
      opClient: 1,
      opSeq: 1,
      ...FIRST_TRY,
    } as const;
    const forward = (changed: Change): Forward => ({
      kind: "forward",
      id: 4,
      request: { kind: "write", id: 9, key: "k", change: changed, write: "quorum", ...rest },
    });
    const send = (message: Forward) =>
      links.send({ kind: "send", to: N2, address: "b:2", path: "peer", message });

    send(forward(change));
    send(forward({ type: "delete" }));

    expect(old.sent).toEqual([forward({ type: "delete" })]);
    expect(inputs.slice(1)).toMatchObject([
      {
        kind: "peer",
        from: "n2",
        message: {
          kind: "forwarded",
          id: 4,
          reply: { kind: "failed", id: 9, applied: "no", elsewhere: true },
        },
      },
    ]);
  });

  test("closes every link and dials no more once closed", () => {
    const { accept, links, dials, ping } = setUp();
    const open = [accept(new FakeLink("peer")), accept(new FakeLink("gossip", { id: "n3" }))];

    links.close();
    ping();
    links.redial(N2, "peer");
    const late = accept(new FakeLink("peer"));

    expect([...open, late].map(({ isOpen }) => isOpen)).toEqual([false, false, false]);
    expect(links.openCount).toBe(0);
    expect(dials).toEqual([]);
  });
});
