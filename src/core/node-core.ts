// (under construction: hands each input to the part that owns it)
import type { Hashes } from "../base/hash.ts";
import type { Prng } from "../base/prng.ts";
import type { Effect, Input, Machine, Now } from "./machine.ts";
import type { NodeCoreOptions } from "./options.ts";
import type { NodeStatus } from "./status.ts";
import type { Store } from "./store/store.ts";

/** What the core is given beside its options. */
export interface NodeCorePorts {
  readonly store: Store;
  readonly hashes: Hashes;
  readonly prng: Prng;
}

/** One node of the cluster, as a deterministic state machine. */
export class NodeCore implements Machine<Input, Effect> {
  constructor(_options: NodeCoreOptions, _ports: NodeCorePorts, _now: Now) {
    throw new Error("under construction");
  }

  step(_input: Input, _now: Now): readonly Effect[] {
    return [];
  }

  deadline(): number {
    return Number.POSITIVE_INFINITY;
  }

  /** The cluster's genesis id; "" while unknown. The handshake carries it. */
  get genesisId(): string {
    return "";
  }

  status(_now: Now): NodeStatus {
    throw new Error("under construction");
  }
}
