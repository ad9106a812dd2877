import { describe, expect, test } from "vitest";
import { packValue } from "../../src/wire/codec.ts";
import {
  checkHello,
  commonProtocol,
  decodeHandshake,
  decodeWelcome,
  encodeHandshake,
  encodeWelcome,
  type HandshakeMessage,
  type Hello,
  type Identity,
  type Introduction,
  proofInput,
  ringIdentity,
} from "../../src/wire/handshake.ts";
import { HANDSHAKE_BYTES_MAX } from "../../src/wire/limits.ts";

const NODE: Identity = {
  role: "node",
  clusterName: "prod",
  genesisId: "g1",
  id: "n1",
  generation: 5,
  address: "10.0.0.1:7400",
  clientId: 0,
  ring: ringIdentity(3),
};
const OTHER: Identity = { ...NODE, id: "n2", generation: 6, address: "10.0.0.2:7400" };
const CLIENT: Identity = {
  ...NODE,
  role: "client",
  id: "",
  generation: 0,
  address: "",
  clientId: 77,
  genesisId: "",
  ring: ringIdentity(0),
};
const HELLO: Hello = {
  type: "hello",
  protocolMin: 1,
  protocolMax: 3,
  capabilities: ["a", "b"],
  isSecured: false,
  nonce: new Uint8Array(32).fill(7),
  identity: NODE,
};

function speaking(identity: Identity, protocolMin = 1, protocolMax = 1): Introduction {
  return { protocolMin, protocolMax, identity };
}

describe("decodeHandshake", () => {
  test.each<HandshakeMessage>([
    HELLO,
    { type: "challenge", nonce: HELLO.nonce },
    { type: "proof", proof: new Uint8Array(32) },
    { type: "proof", proof: new Uint8Array(0) },
    { type: "ready", welcome: Uint8Array.of(1), proof: new Uint8Array(32) },
    { type: "refused", code: "ERR_UNAUTHORIZED", reason: "no" },
  ])("returns the $type that was encoded", (message) => {
    expect(decodeHandshake(encodeHandshake(message))).toEqual(message);
  });

  test("ignores what a later version appends to a hello", () => {
    const fields = [1, 3, ["a", "b"], false, HELLO.nonce];
    const identity = [1, "prod", "g1", "n1", 5, "10.0.0.1:7400", 0, [16_384, 104, 1, 3]];

    expect(decodeHandshake(packValue([0, [...fields, identity, "", "later", [1]]]))).toEqual(HELLO);
    expect(decodeHandshake(packValue([0, fields]))).toBeUndefined();
  });

  test.each([
    ["a type that does not exist", packValue([5, []])],
    ["a type by name", packValue(["hello", []])],
    ["no array", packValue(1)],
    ["no fields", packValue([1])],
    ["a short nonce", packValue([1, [new Uint8Array(31)]])],
    ["an unknown error code", packValue([4, [99, "x"]])],
    ["more than a handshake may hold", packValue([2, [new Uint8Array(HANDSHAKE_BYTES_MAX)]])],
    ["a name with a line break", encodeHandshake({ ...HELLO, identity: { ...NODE, clusterName: "a\nb" } })],
    ["an address with a space", encodeHandshake({ ...HELLO, identity: { ...NODE, address: "a b" } })],
    [
      "a generation that is no integer",
      encodeHandshake({ ...HELLO, identity: { ...NODE, generation: 1.5 } }),
    ],
    ["33 capabilities", encodeHandshake({ ...HELLO, capabilities: new Array<string>(33).fill("a") })],
    ["nothing", new Uint8Array(0)],
  ])("refuses %s", (_name, frame) => {
    expect(decodeHandshake(frame)).toBeUndefined();
  });

  test("returns the welcome that was encoded", () => {
    const welcome = { protocol: 1, capabilities: ["a"], identity: NODE };

    expect(decodeWelcome(encodeWelcome(welcome))).toEqual(welcome);
    expect(decodeWelcome(packValue([1]))).toBeUndefined();
    expect(decodeWelcome(new Uint8Array(0))).toBeUndefined();
  });
});

describe("checkHello", () => {
  test.each([
    ["two nodes", OTHER, "peer"],
    ["two nodes on the gossip path", OTHER, "gossip"],
    ["a node and a client", CLIENT, "client"],
    ["a client that does not care for the cluster's name", { ...CLIENT, clusterName: "" }, "client"],
    ["a client that knows the genesis", { ...CLIENT, genesisId: "g1" }, "client"],
    ["a node that does not know the genesis yet", { ...OTHER, genesisId: "" }, "gossip"],
    ["a node that has restarted", { ...NODE, generation: 6 }, "gossip"],
  ] as const)("accepts %s", (_name, theirs, path) => {
    expect(checkHello(speaking(NODE), speaking(theirs), path)).toBeUndefined();
  });

  test.each([
    [
      { ...OTHER, clusterName: "staging" },
      "peer",
      'Cluster names differ: "prod" at node n1 (10.0.0.1:7400), "staging" at node n2 (10.0.0.2:7400)',
    ],
    [
      { ...CLIENT, clusterName: "staging" },
      "client",
      'Cluster names differ: "prod" at node n1 (10.0.0.1:7400), "staging" at client 77',
    ],
    [
      { ...OTHER, genesisId: "g2" },
      "gossip",
      'Different clusters of the same name "prod": genesis g1 at node n1 (10.0.0.1:7400), g2 at node n2 (10.0.0.2:7400)',
    ],
    [
      { ...OTHER, ring: ringIdentity(2) },
      "peer",
      "Ring parameter replicas differs: 3 at node n1 (10.0.0.1:7400), 2 at node n2 (10.0.0.2:7400)",
    ],
    [
      { ...OTHER, ring: { ...ringIdentity(3), hashVersion: 9 } },
      "peer",
      "Ring parameter hashVersion differs: 1 at node n1 (10.0.0.1:7400), 9 at node n2 (10.0.0.2:7400)",
    ],
    [
      { ...CLIENT, ring: { ...ringIdentity(0), hashVersion: 9 } },
      "client",
      "Ring parameter hashVersion differs: 1 at node n1 (10.0.0.1:7400), 9 at client 77",
    ],
    [NODE, "peer", "node n1 (10.0.0.1:7400) reached itself"],
    [CLIENT, "peer", "Path /peer is for nodes, client 77 is none"],
    [CLIENT, "gossip", "Path /gossip is for nodes, client 77 is none"],
    [{ ...CLIENT, clientId: 0 }, "client", "A client introduced itself without a client id"],
    [{ ...CLIENT, id: "n1" }, "client", 'A client introduced itself with the id "n1"'],
    [{ ...OTHER, id: "" }, "peer", 'A node introduced itself with the id ""'],
    [{ ...OTHER, generation: 0 }, "peer", "node n2 (10.0.0.2:7400) introduced itself without a generation"],
    [{ ...OTHER, address: "" }, "peer", "node n2 () introduced itself without an address"],
  ] as const)("refuses %j on /%s", (theirs, path, reason) => {
    expect(checkHello(speaking(NODE), speaking(theirs), path)).toMatchObject({
      code: "ERR_PROTOCOL",
      reason,
    });
  });

  test.each([
    [1, 1, 1, 1, 1],
    [1, 2, 2, 3, 2],
    [2, 5, 1, 3, 3],
    [1, 9, 4, 4, 4],
    [1, 1, 2, 2, undefined],
    [3, 4, 1, 2, undefined],
  ])("finds the newest common protocol of %i to %i and %i to %i", (min, max, otherMin, otherMax, common) => {
    const mine = speaking(NODE, min, max);
    const theirs = speaking(OTHER, otherMin, otherMax);
    const mismatch = checkHello(mine, theirs, "peer");

    if (common === undefined) {
      expect(mismatch?.reason).toBe(
        `No common protocol version: node n1 (10.0.0.1:7400) speaks ${min} to ${max}, ` +
          `node n2 (10.0.0.2:7400) speaks ${otherMin} to ${otherMax}`,
      );
    } else {
      expect(mismatch).toBeUndefined();
      expect(commonProtocol(mine, theirs)).toBe(common);
    }
  });
});

test("proofInput differs when anything of the conversation does", () => {
  const [a, b, c] = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)];
  const base = { path: "peer", hello: a, challenge: b, welcome: c } as const;

  const inputs = [
    proofInput("dialer", base),
    proofInput("acceptor", base),
    proofInput("dialer", { ...base, path: "gossip" }),
    proofInput("dialer", { ...base, hello: c }),
    proofInput("dialer", { ...base, challenge: c }),
    proofInput("dialer", { ...base, welcome: a }),
    // The same bytes in a row, cut elsewhere.
    proofInput("dialer", { ...base, hello: Uint8Array.of(1, 2), challenge: new Uint8Array(0) }),
  ];

  expect(new Set(inputs.map((input) => Buffer.from(input).toString("hex"))).size).toBe(inputs.length);
});
