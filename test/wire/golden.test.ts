// The bytes of some frames, written down: whoever changes one of them changes the protocol, and breaks clusters in which two
// versions run side by side. A deliberate change needs a new protocol version beside the old one.

import { describe, expect, test } from "vitest";
import { ERROR_CODES } from "../../src/base/errors.ts";
import type { MemberId, RingId, Slot } from "../../src/base/ids.ts";
import type { Entry, MemberRecord, Message } from "../../src/core/messages.ts";
import { decodeFrame, encodeFrame } from "../../src/wire/codec.ts";
import { encodeHandshake, encodeWelcome, type Identity, proofInput } from "../../src/wire/handshake.ts";
import { codeOf, type Source } from "../../src/wire/schema.ts";
import { errorCode } from "../../src/wire/shapes.ts";
import { MESSAGE_ARBITRARIES } from "./arbitraries.ts";

const RING = "0123456789abcdef" as RingId;
const FROM_CLIENT: Source = { path: "client", from: "client" };
const FROM_NODE: Source = { path: "client", from: "node" };
const FROM_PEER: Source = { path: "peer", from: "node" };
const FROM_GOSSIP: Source = { path: "gossip", from: "node" };

const ENTRY: Entry = {
  key: "k",
  version: 2 ** 52 + 1,
  origin: 0xdead_beef,
  expiresAt: 1_700_000_000_000,
  format: 1,
  value: Uint8Array.of(104, 105),
  opClient: 77,
  opSeq: 300,
  opAttempt: 1,
};
const RECORD: MemberRecord = {
  id: "n1" as MemberId,
  address: "127.0.0.1:7400",
  zone: "a",
  weight: 1,
  placeSeq: 0,
  wanted: undefined,
  generation: 5,
  incarnation: 0,
  liveness: "alive",
  ringSeq: 2,
  ringState: "active",
  settledRingId: RING,
  preparedRingId: "",
};

const FRAMES: readonly (readonly [string, Source, readonly Message[], string])[] = [
  [
    "one get",
    FROM_CLIENT,
    [{ kind: "get", id: 1, key: "user:1", read: "one", want: "value", notAfter: 0 }],
    "dd000000020192ffc600000015010000001101001006757365723a31100010001000",
  ],
  [
    "three gets",
    FROM_CLIENT,
    [1, 2, 300].map((id) => ({
      kind: "get",
      id,
      key: `k${id}`,
      read: "quorum",
      want: "entry",
      notAfter: 12.5,
    })),
    "dd000000020192ffc600000026030000001201000001002b0111020000026b316b326b333030100110018000" +
      "00000000002940",
  ],
  [
    "a set, alone and in a run",
    FROM_CLIENT,
    [
      ...[1, 2].map(
        (id): Message => ({
          kind: "write",
          id,
          key: "k",
          change: {
            type: "set",
            value: Uint8Array.of(id, 0xff),
            format: 2,
            ttlMs: 60_000,
            condition: "absent",
            ifVersion: 0,
          },
          write: "quorum",
          opClient: 2 ** 40,
          opSeq: id,
          attempt: 1,
          isDecidedHere: false,
          notAfter: 0,
          begunAt: 0,
        }),
      ),
      {
        kind: "write",
        id: 3,
        key: "n",
        change: { type: "increment", by: -1, ttlMs: 0 },
        write: "all",
        opClient: 1,
        opSeq: 9,
        attempt: 2,
        isDecidedHere: false,
        notAfter: 0,
        begunAt: 5,
      },
    ],
    "dd000000030192fec600000032020000001101000110016b6b100201ff02ff10024060ea0000100110001001" +
      "800000000000007042110100011001100010009b0203a16e920392ff0002010902c20005",
  ],
  [
    "replies",
    FROM_NODE,
    [
      { kind: "got", id: 1, found: true, format: 1, value: Uint8Array.of(97), version: 0, expiresAt: 0 },
      { kind: "got", id: 2, found: false, format: 1, value: new Uint8Array(0), version: 0, expiresAt: 0 },
      { kind: "written", id: 3, outcome: true },
      { kind: "written", id: 4, outcome: 41.5 },
      { kind: "failed", id: 5, code: "ERR_NO_QUORUM", message: "1 of 2", applied: "no", elsewhere: true },
    ],
    "dd000000040192f8c600000017020000001101000111000100100111000100611000100092f7c60000001d02" +
      "00000011030001110100010800000000000000000000000000c04440960e0503a631206f66203200c3",
  ],
  [
    "a replicate with a value and its answer",
    FROM_PEER,
    [
      { kind: "replicate", id: 7, ringId: RING, purpose: "hint", entry: ENTRY, over: 2 ** 52, notAfter: 0 },
      { kind: "replicated", id: 7, status: "stored", counts: true, heldVersion: ENTRY.version },
    ],
    "dd000000030192edc6000000520100000011070001101030313233343536373839616263646566100210016b" +
      "80010000000000304340efbeadde8000008056febc78421001100110026869104d402c010000100180000000" +
      "0000003043100092ecc6000000140100000011070010001001800100000000003043",
  ],
  [
    "a run of replicates with a tombstone",
    FROM_PEER,
    [
      { kind: "replicate", id: 8, ringId: RING, purpose: "client", entry: ENTRY, over: 0, notAfter: 9 },
      {
        kind: "replicate",
        id: 9,
        ringId: RING,
        purpose: "client",
        entry: { ...ENTRY, key: "l", value: undefined, expiresAt: 0 },
        over: 0,
        notAfter: 9,
      },
    ],
    "dd000000020192edc60000005902000000110800010110103031323334353637383961626364656610001001" +
      "6b6c80010000000000304340efbeadde0800008056febc784200000000000000001001110001001100020068" +
      "69104d402c010000100110001009",
  ],
  [
    "a refusal of three requests",
    FROM_NODE,
    [{ kind: "overloaded", ids: [1, 2, 70_000], retryAfterMs: 40 }],
    "dd00000002019327930102ce0001117028",
  ],
  [
    "a pull",
    FROM_PEER,
    [
      {
        kind: "pull",
        id: 1,
        ringId: RING,
        isRehearsal: false,
        slots: [0, 16_383] as Slot[],
        digests: [
          { sum: 0, count: 0 },
          { sum: 2 ** 53 - 1, count: 3 },
        ],
        after: "",
      },
    ],
    "dd000000020192e7c60000003b010000001101000110103031323334353637383961626364656610001000100212000000ff3f080000000000000000ffffffffffff3f4311000003",
  ],
  [
    "an answer to a pull",
    FROM_PEER,
    [
      {
        kind: "pulled",
        id: 1,
        status: "ok",
        entries: [ENTRY],
        slotsDone: 2,
        floors: [0, 2 ** 52],
        cleared: [0, 0],
        entitled: [true, false],
        isSame: [true, false],
        after: "k",
        isBusy: true,
      },
    ],
    "dd000000020192e6c600000058010000001101001000100110016b1002080000000000000000000000000000304310001100010011000100100110016b80010000000000304340efbeadde8000008056febc78421001100110026869104d402c0100001001",
  ],
  [
    "a probe with an update",
    FROM_GOSSIP,
    [
      {
        kind: "probe",
        seq: 1,
        target: "n2" as MemberId,
        updates: [{ record: { ...RECORD, liveness: "suspect" }, accuser: "n3" as MemberId }],
      },
    ],
    "dd0000000201941d01a26e3291929ba26e31ae3132372e302e302e313a37343030a161010500010202b03031" +
      "3233343536373839616263646566a0a26e33",
  ],
  [
    "wishes for a place",
    FROM_CLIENT,
    [
      { kind: "place", id: 7, zone: "b", weight: 2 },
      { kind: "place", id: 8, zone: undefined, weight: 64 },
    ],
    "dd0000000301942c07a16202942c08c040",
  ],
  [
    "a record with a change of place",
    FROM_GOSSIP,
    [
      {
        kind: "gossip",
        updates: [
          {
            record: { ...RECORD, placeSeq: 1, wanted: { seq: 2, zone: "b", weight: 3 } },
            accuser: "",
          },
        ],
      },
    ],
    "dd0000000201922191929ca26e31ae3132372e302e302e313a37343030a161010500000202b030313233343536373839616263646566a092019302a16203a0",
  ],
];

describe("the bytes of frames do not change", () => {
  test.each(FRAMES)("%s", (_name, source, messages, golden) => {
    const frame = encodeFrame(messages);

    expect(Buffer.from(frame).toString("hex")).toBe(golden);
    expect(decodeFrame(frame, source)).toEqual({ ok: true, messages });
  });
});

describe("the bytes of the handshake do not change", () => {
  const identity: Identity = {
    role: "node",
    clusterName: "c",
    genesisId: "g1",
    id: "n1",
    generation: 1_700_000_000_000,
    address: "127.0.0.1:7400",
    clientId: 0,
    ring: { slotCount: 16_384, capPercent: 104, hashVersion: 1, replicas: 3 },
  };
  const nonce = Uint8Array.from({ length: 32 }, (_, index) => index);
  const hello = encodeHandshake({
    type: "hello",
    protocolMin: 1,
    protocolMax: 1,
    capabilities: ["x"],
    isSecured: true,
    nonce,
    identity,
  });

  test.each([
    [
      "hello",
      hello,
      "920096010191a178c3c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f98" +
        "01a163a26731a26e31cb4278bcfe56800000ae3132372e302e302e313a373430300094cd4000680103",
    ],
    [
      "challenge",
      encodeHandshake({ type: "challenge", nonce }),
      "920191c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    ],
    ["proof", encodeHandshake({ type: "proof", proof: Uint8Array.of(1, 2) }), "920291c4020102"],
    [
      "ready",
      encodeHandshake({
        type: "ready",
        welcome: encodeWelcome({ protocol: 1, capabilities: [], identity: { ...identity, id: "n2" } }),
        proof: new Uint8Array(0),
      }),
      "920392c42d9301909801a163a26731a26e32cb4278bcfe56800000ae3132372e302e302e313a373430300094" +
        "cd4000680103c400",
    ],
    ["refused", encodeHandshake({ type: "refused", code: "ERR_PROTOCOL", reason: "no" }), "92049209a26e6f"],
    [
      "what a proof is over",
      proofInput("dialer", { path: "peer", hello: nonce, challenge: nonce, welcome: new Uint8Array(0) }),
      "96b472696e67686f6c642068616e647368616b652031a66469616c6572a470656572c4200001020304050607" +
        "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fc420000102030405060708090a0b0c0d0e0f1011" +
        "12131415161718191a1b1c1d1e1fc400",
    ],
  ])("%s", (_name, bytes, golden) => {
    expect(Buffer.from(bytes).toString("hex")).toBe(golden);
  });
});

test("the numbers of kinds and error codes do not change", () => {
  const kinds = Object.keys(MESSAGE_ARBITRARIES) as Message["kind"][];

  expect(kinds.map((kind) => `${kind} ${codeOf(kind)}`).join(", ")).toBe(
    "get 1, write 2, scan 3, clear 4, count 5, command 6, ping 7, got 8, written 9, " +
      "scanned 10, cleared 11, counted 12, commanded 13, failed 14, pong 15, topology 16, " +
      "read 17, readReply 18, replicate 19, replicated 20, clearReplica 21, " +
      "clearReplicaReply 22, forward 23, forwarded 24, pull 25, pulled 26, catchUp 27, " +
      "catchUpReply 28, probe 29, ack 30, probeRequest 31, nack 32, gossip 33, sync 34, " +
      "doorAddress 37, publish 38, overloaded 39, watch 40, watching 41, changed 42, secrets 43, place 44",
  );
  expect(ERROR_CODES.map((code) => `${code} ${errorCode.pack(code)}`).join(", ")).toBe(
    "ERR_INVALID_OPTION 0, ERR_INVALID_ARGUMENT 1, ERR_TOO_LARGE 2, ERR_NO_QUORUM 3, " +
      "ERR_TIMEOUT 4, ERR_OVERLOADED 5, ERR_UNREACHABLE 6, ERR_UNAUTHORIZED 7, ERR_CLOSED 8, " +
      "ERR_PROTOCOL 9, ERR_NOT_A_NUMBER 10, ERR_FORBIDDEN 11",
  );
});
