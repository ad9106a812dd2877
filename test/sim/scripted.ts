// A stand-in for a node's core that does what a test tells it and remembers what it was given: for tests of the simulator itself.

import type { MemberId } from "../../src/base/ids.ts";
import type { Effect, Input, Now } from "../../src/core/machine.ts";
import type { NodeStatus } from "../../src/core/status.ts";
import type { NodeFactory, NodeMachine } from "./node-process.ts";

export interface Logged {
  readonly input: Input;
  readonly now: Now;
}

/** Sends pings numbered 1, 2... to another node at a steady pace, and logs every input but ticks. */
export class ScriptedNode implements NodeMachine {
  readonly genesisId = "scripted";
  readonly log: Logged[] = [];
  /** Effects for the next step. */
  readonly toDo: Effect[] = [];
  #target: { id: MemberId; address: string } | undefined;
  #everyMs = Number.POSITIVE_INFINITY;
  #nextMs = Number.POSITIVE_INFINITY;
  #sent = 0;

  /** From the next tick on. */
  sendTo(id: string, everyMs: number, nowMs: number): void {
    this.#target = { id: id as MemberId, address: `${id}:7400` };
    this.#everyMs = everyMs;
    this.#nextMs = nowMs;
  }

  step(input: Input, now: Now): readonly Effect[] {
    const effects = this.toDo.splice(0);
    if (input.kind !== "tick") {
      this.log.push({ input, now });
    } else if (now.monoMs >= this.#nextMs && this.#target !== undefined) {
      this.#nextMs += this.#everyMs;
      const { id, address } = this.#target;
      effects.push({
        kind: "send",
        to: id,
        address,
        path: "peer",
        message: { kind: "ping", sentMs: ++this.#sent },
      });
    }
    return effects;
  }

  deadline(): number {
    return this.toDo.length > 0 ? Number.NEGATIVE_INFINITY : this.#nextMs;
  }

  status(): NodeStatus | undefined {
    return undefined;
  }

  /** Numbers of the pings received, in order. */
  get received(): number[] {
    return this.log.flatMap(({ input }) =>
      input.kind === "peer" && input.message.kind === "ping" ? [input.message.sentMs] : [],
    );
  }

  /** Link news received: `up` or `down`, in order. */
  get news(): string[] {
    return this.log.flatMap(({ input }) => (input.kind === "link" ? [input.isUp ? "up" : "down"] : []));
  }
}

/** A factory and the cores it has made, the latest per node. */
export function scriptedNodes(): { factory: NodeFactory; cores: Map<string, ScriptedNode> } {
  const cores = new Map<string, ScriptedNode>();
  const factory: NodeFactory = (options) => {
    const core = new ScriptedNode();
    cores.set(options.id, core);
    return core;
  };
  return { factory, cores };
}
