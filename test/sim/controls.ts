// Deliberately broken variants, made by wrapping: a campaign that does not catch them proves nothing. None of them needs a
// hook in the code under test.

import type { Effect, Input, Now } from "../../src/core/machine.ts";
import type { ClearRequest, WriteRequest } from "../../src/core/messages.ts";
import type { NodeCoreOptions } from "../../src/core/options.ts";
import type { ClientEffect, ClientInput, ClientMachine } from "./client-adapter.ts";
import type { NodeFactory, NodeMachine, NodePorts } from "./node-process.ts";
import { createCoreClient, createCoreNode } from "./subjects.ts";
import type { ClientFactory, WorldOptions } from "./world.ts";

export interface Control {
  readonly name: string;
  readonly title: string;
  readonly overrides: Partial<WorldOptions>;
  /** The scenario in which it must be caught, and the invariants that may catch it. */
  readonly scenario: string;
  readonly catches: readonly string[];
}

/** Passes everything through to a real node; variants override what they break. */
class WrappedNode implements NodeMachine {
  protected readonly core: NodeMachine;

  constructor(options: NodeCoreOptions, ports: NodePorts, now: Now) {
    this.core = createCoreNode(options, ports, now);
  }

  get genesisId(): string {
    return this.core.genesisId;
  }

  deadline(): number {
    return this.core.deadline();
  }

  status(now: Now) {
    return this.core.status(now);
  }

  step(input: Input, now: Now): readonly Effect[] {
    return this.core.step(input, now);
  }
}

/** Says `written` as soon as a set arrives, before anything was replicated. */
class EarlyAcknowledger extends WrappedNode {
  override step(input: Input, now: Now): readonly Effect[] {
    const effects = super.step(input, now);
    if (input.kind !== "client" || input.request.kind !== "write" || input.request.change.type !== "set")
      return effects;
    const { client, request } = input;
    const isAnswered = effects.some(
      (effect) => effect.kind === "reply" && effect.message.kind !== "topology",
    );
    if (isAnswered) return effects;
    return [
      ...effects,
      { kind: "reply", client, message: { kind: "written", id: request.id, outcome: true } },
    ];
  }
}

/** Claims that its answers count, whatever the core says: a restarted node is believed at once. */
class HastyReplica extends WrappedNode {
  override step(input: Input, now: Now): readonly Effect[] {
    return super.step(input, now).map((effect): Effect => {
      if (effect.kind !== "send" || effect.path !== "peer") return effect;
      const { message } = effect;
      if (message.kind !== "readReply" && message.kind !== "replicated") return effect;
      return { ...effect, message: { ...message, counts: true } };
    });
  }
}

/** Copies nothing before the ring changes, and counts at once when it has: a change without rehearsal and without a barrier. */
class UnpreparedNewcomer extends HastyReplica {
  readonly #rehearsals = new Set<number>();

  override step(input: Input, now: Now): readonly Effect[] {
    const effects = super.step(this.#emptied(input), now);
    for (const effect of effects) {
      if (effect.kind !== "send" || effect.path !== "peer" || effect.message.kind !== "pull") continue;
      if (effect.message.isRehearsal) this.#rehearsals.add(effect.message.id);
    }
    return effects;
  }

  #emptied(input: Input): Input {
    if (input.kind !== "peer" || input.message.kind !== "pulled") return input;
    const { message } = input;
    return this.#rehearsals.delete(message.id) ? { ...input, message: { ...message, entries: [] } } : input;
  }
}

/** Takes a slot for copied when its source has answered, and keeps nothing of the answer: it counts with what it happens to hold. */
class EmptyCopier extends WrappedNode {
  override step(input: Input, now: Now): readonly Effect[] {
    const isCopy = input.kind === "peer" && input.message.kind === "pulled";
    return super.step(isCopy ? { ...input, message: { ...input.message, entries: [] } } : input, now);
  }
}

/** Goes on with quorum operations however long it has been out of touch. */
class Tenacious extends WrappedNode {
  constructor(options: NodeCoreOptions, ports: NodePorts, now: Now) {
    const membership = { ...options.membership, leaseMs: Number.MAX_SAFE_INTEGER };
    super({ ...options, membership }, ports, now);
  }
}

/** Says that it stored what it refused as older: order by clocks without the rule that makes it safe. */
class YesSayer extends WrappedNode {
  override step(input: Input, now: Now): readonly Effect[] {
    return super.step(input, now).map((effect): Effect => {
      if (effect.kind !== "send" || effect.message.kind !== "replicated" || effect.path !== "peer")
        return effect;
      if (effect.message.status !== "newer") return effect;
      return { ...effect, message: { ...effect.message, status: "stored" } };
    });
  }
}

/** Acknowledges what it stored itself and keeps hints for: a sloppy quorum. */
class SloppyCoordinator extends WrappedNode {
  override step(input: Input, now: Now): readonly Effect[] {
    if (input.kind !== "client" || input.request.kind !== "write") return super.step(input, now);
    return super.step({ ...input, request: { ...input.request, write: "async" } }, now);
  }
}

/** A try as an operation of its own, without the instant after which it must not start. */
function withoutOperationIds<R extends WriteRequest | ClearRequest>(message: R, fresh: number): R {
  return { ...message, opSeq: fresh, attempt: 1, notAfter: 0 };
}

/** Gives every attempt at one kind of operation a number of its own: nodes cannot recognise a retry. */
class ForgetfulClient implements ClientMachine {
  readonly #core: ClientMachine;
  readonly #kind: "write" | "clear";
  /** Far from the numbers that the client itself gives. */
  #fresh = 1e9;

  constructor(core: ClientMachine, kind: "write" | "clear") {
    this.#core = core;
    this.#kind = kind;
  }

  deadline(): number {
    return this.#core.deadline();
  }

  step(input: ClientInput, now: Now): readonly ClientEffect[] {
    return this.#core.step(input, now).map((effect): ClientEffect => {
      if (effect.kind !== "send" || effect.message.kind !== this.#kind) return effect;
      const { message } = effect;
      if (message.kind !== "write" && message.kind !== "clear") return effect;
      return { ...effect, message: withoutOperationIds(message, this.#fresh++) };
    });
  }
}

const createForgetful =
  (kind: "write" | "clear"): ClientFactory =>
  (spec) =>
    new ForgetfulClient(createCoreClient(spec), kind);
const createWith =
  (Variant: typeof WrappedNode): NodeFactory =>
  (options, ports, now) =>
    new Variant(options, ports, now);

/** What a change of the ring without its barrier breaks. */
const RING_CATCHES = [
  "acknowledged means stored",
  "no acknowledged write lost",
  "linearizable",
  "increment lost",
  "present keys are found",
  "applied once",
  "convergence",
];

export const CONTROLS: readonly Control[] = [
  {
    name: "early-ack",
    title: "a write is acknowledged before it is replicated",
    overrides: { createNode: createWith(EarlyAcknowledger) },
    scenario: "crash",
    catches: ["acknowledged means stored", "no acknowledged write lost", "linearizable", "increment lost"],
  },
  {
    name: "sloppy-quorum",
    title: "hints count towards a quorum",
    overrides: { createNode: createWith(SloppyCoordinator) },
    scenario: "partition",
    catches: [
      "acknowledged means stored",
      "a minority acknowledges nothing",
      "no acknowledged write lost",
      "linearizable",
    ],
  },
  {
    name: "hasty-replica",
    title: "a restarted node's answers count at once",
    overrides: { createNode: createWith(HastyReplica) },
    scenario: "behind",
    catches: ["acknowledged means stored", "no acknowledged write lost", "linearizable", "increment lost"],
  },
  {
    name: "no-operation-ids",
    title: "a retry cannot be told from a new write",
    overrides: { createClient: createForgetful("write") },
    scenario: "pause",
    catches: ["applied once", "no acknowledged write lost", "linearizable"],
  },
  {
    name: "no-clear-ids",
    title: "a repeated clear cannot be told from a new one",
    overrides: { createClient: createForgetful("clear") },
    scenario: "clearing",
    catches: ["no acknowledged write lost", "linearizable"],
  },
  {
    name: "no-refusal",
    title: "a replica says that it stored what it refused as older",
    overrides: { createNode: createWith(YesSayer) },
    scenario: "pause",
    catches: ["acknowledged means stored", "no acknowledged write lost", "linearizable", "increment lost"],
  },
  {
    name: "no-barrier",
    title: "the ring changes before anything was copied, and newcomers count for their slots at once",
    overrides: { createNode: createWith(UnpreparedNewcomer) },
    scenario: "ring-changes",
    catches: RING_CATCHES,
  },
  {
    name: "no-lease",
    title: "a node that is cut off goes on with quorum operations for as long as it finds quorums",
    overrides: { createNode: createWith(Tenacious) },
    scenario: "evicted-pair",
    catches: ["no acknowledged write lost", "linearizable"],
  },
  {
    name: "empty-copies",
    title: "newcomers count without having what they were to copy",
    overrides: { createNode: createWith(EmptyCopier) },
    scenario: "ring-changes",
    catches: RING_CATCHES,
  },
];

/** @throws {Error} naming the controls there are */
export function controlNamed(name: string): Control {
  const control = CONTROLS.find((each) => each.name === name);
  if (control === undefined)
    throw new Error(`No control ${name}; there are ${CONTROLS.map((each) => each.name).join(", ")}`);
  return control;
}
