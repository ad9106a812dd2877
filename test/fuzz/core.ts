// The fuzz of the core itself: valid messages with every field at its edges, from clients, from a member and from strangers. Nothing may throw,
// every request must be answered, and where all that was asked was refused, nothing may have changed.

import fc from "fast-check";
import type { Hashes } from "../../src/base/hash.ts";
import type { MemberId } from "../../src/base/ids.ts";
import { SLOT_COUNT, type Slot } from "../../src/base/ids.ts";
import type { ClientReply } from "../../src/core/messages.ts";
import { MiniCluster } from "../core/mini-cluster.ts";
import { clientRequestArbitrary, gossipMessageArbitrary, peerMessageArbitrary } from "../wire/arbitraries.ts";

/** How long a request may take a node: its own bound, and the next look at it. */
const ANSWER_MS = 2_500;

/** Feeds `count` requests of clients to a node of its own. Returns what was wrong. */
export function fuzzClientCore(hashes: Hashes, seed: number, count: number): readonly string[] {
  const cluster = new MiniCluster(hashes);
  cluster.start("n1", { replicas: 1 });
  const { store } = cluster.nodes.get("n1")!;
  cluster.run(500);
  const wrong: string[] = [];
  const requests = fc.sample(
    clientRequestArbitrary.filter(({ kind }) => kind !== "command" && kind !== "ping"),
    { numRuns: count, seed },
  );
  for (const request of requests) {
    const before = digestOf(store);
    cluster.replies.length = 0;
    cluster.input("n1", { kind: "client", client: 1, request });
    const { id } = request as { readonly id: number };
    for (let waited = 0; waited < ANSWER_MS && answerOf(cluster, id) === undefined; waited += 50) {
      cluster.run(50);
    }
    const answer = answerOf(cluster, id);
    if (answer === undefined) wrong.push(`no answer to ${JSON.stringify(request)}`);
    else if (answer.kind === "failed" && answer.applied === "no" && digestOf(store) !== before)
      wrong.push(`"${answer.code}" changed something: ${JSON.stringify(request)}`);
  }
  return wrong;
}

/** Feeds `count` messages to a node of three as if another member had sent them, and then as a stranger. Throws when the core does. */
export function fuzzPeerCore(hashes: Hashes, seed: number, count: number): void {
  for (const from of ["n2", "stranger"] as MemberId[]) {
    const cluster = new MiniCluster(hashes);
    for (const name of ["n1", "n2", "n3"]) cluster.start(name);
    cluster.run(3_000);
    const peer = fc.sample(peerMessageArbitrary, { numRuns: count, seed });
    const gossip = fc.sample(gossipMessageArbitrary, { numRuns: count, seed: seed + 1 });
    for (let index = 0; index < count; index++) {
      cluster.input("n1", { kind: "peer", from, message: peer[index]! });
      cluster.input("n1", { kind: "gossip", from, fromAddress: `${from}:1`, message: gossip[index]! });
      // Whoever forges is soon not heard any more: let the quarantine pass, or little would be tested.
      cluster.run(index % 10 === 0 ? 61_000 : 5);
    }
  }
}

function answerOf(cluster: MiniCluster, id: number): ClientReply | undefined {
  return cluster.replies.find((reply) =>
    reply.kind === "overloaded" ? reply.ids.includes(id) : "id" in reply && reply.id === id,
  );
}

/** Of all that a store holds. */
function digestOf(store: { digest(slot: Slot): { readonly sum: number; readonly count: number } }): string {
  let sum = 0;
  let count = 0;
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    const digest = store.digest(slot as Slot);
    sum = (sum * 31 + digest.sum) % Number.MAX_SAFE_INTEGER;
    count += digest.count;
  }
  return `${sum}:${count}`;
}
