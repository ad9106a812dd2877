// Stand-ins for what surrounds the shell: a core that does what a test says, and links without sockets.

import type { MemberId, RingId } from "../../src/base/ids.ts";
import type { Effect, Input, Now } from "../../src/core/machine.ts";
import type { Message, Path } from "../../src/core/messages.ts";
import type { ClusterView } from "../../src/core/replication/cluster-view.ts";
import { NOT_ALONE } from "../../src/core/replication/coordinator.ts";
import type { NodeStatus } from "../../src/core/status.ts";
import { type Link, type LinkHandlers, OPEN_ACCESS, type RemoteIdentity } from "../../src/io/link.ts";
import type { NodeMachine } from "../../src/server/node-shell.ts";
import { CAPABILITIES } from "../../src/wire/handshake.ts";

/** Records its inputs and answers them with what `respond` returns. */
export class ScriptedCore implements NodeMachine {
  readonly inputs: Input[] = [];
  readonly times: Now[] = [];
  respond: (input: Input, now: Now) => readonly Effect[] = () => [];
  nextDeadlineMs = Number.POSITIVE_INFINITY;
  genesisId = "";
  get isReady(): boolean {
    return this.statusNow.isReady;
  }

  statusNow: NodeStatus = aStatus();

  step(input: Input, now: Now): readonly Effect[] {
    this.inputs.push(input);
    this.times.push(now);
    if (input.kind === "genesis") this.genesisId = input.genesisId;
    return this.respond(input, now);
  }

  deadline(): number {
    return this.nextDeadlineMs;
  }

  readonly view: ClusterView = {
    self: "n1" as MemberId,
    ring: undefined,
    previousRing: undefined,
    isUsable: () => true,
    mayCount: () => true,
    isSettled: true,
    newcomers: () => [],
    isMember: () => true,
    isCondemned: () => false,
    hasLeft: () => false,
    toPeerMono: () => 0,
  };

  getAlone(): typeof NOT_ALONE {
    return NOT_ALONE;
  }

  wallMs(now: Now): number {
    return now.wallMs;
  }

  status(): NodeStatus {
    return this.statusNow;
  }

  /** The kinds of the inputs so far. */
  get kinds(): readonly string[] {
    return this.inputs.map(({ kind }) => kind);
  }
}

export function aStatus(changes: Partial<NodeStatus> = {}): NodeStatus {
  return {
    id: "n1" as MemberId,
    address: "127.0.0.1:1",
    clusterName: "ringhold",
    genesisId: "g1",
    ringId: "00000000000000aa" as RingId,
    replicas: 3,
    uptimeMs: 1_500,
    isReady: true,
    isSafe: true,
    verdict: "SAFE: all copies are there",
    members: [],
    change: {
      phase: "none",
      entering: [],
      going: [],
      moving: [],
      waitingFor: [],
      slotsDone: 0,
      slotsTotal: 0,
      elapsedMs: 0,
    },
    copied: { entriesTotal: 0, bytesTotal: 0, largest: { entries: 0, bytes: 0, ms: 0 } },
    slotsWarming: 0,
    slotsUnderReplicated: 0,
    hints: { count: 0, bytes: 0 },
    pending: 0,
    clockSkewMs: 0,
    store: { entries: 3, tombstones: 1, bytes: 300, bytesMax: 1000, evictionsTotal: 0, expirationsTotal: 0 },
    ...changes,
  };
}

/** A link whose other end is the test. */
export class FakeLink implements Link {
  readonly remoteAddress = "127.0.0.1:9";
  readonly path: Path;
  readonly remote: RemoteIdentity;
  readonly sent: Message[] = [];
  readonly bufferedBytes = 0;
  isOpen = true;
  closeReason: string | undefined;
  #handlers: LinkHandlers | undefined;

  constructor(path: Path, remote: Partial<RemoteIdentity> = {}) {
    this.path = path;
    this.remote = {
      role: path === "client" ? "client" : "node",
      clusterName: "ringhold",
      genesisId: "g1",
      id: path === "client" ? "" : "n2",
      generation: 1,
      address: "127.0.0.1:2",
      clientId: path === "client" ? 7 : 0,
      replicas: 3,
      protocol: 1,
      capabilities: CAPABILITIES,
      access: OPEN_ACCESS,
      ...remote,
    };
  }

  /** Hands the link to its user, as the real one does once it stands. */
  open(onLink: (link: Link) => LinkHandlers): this {
    this.#handlers = onLink(this);
    return this;
  }

  receive(...messages: Message[]): void {
    if (this.isOpen) this.#handlers?.onMessages(messages);
  }

  /** The user was told that this message was too large. */
  oversized(message: Message): void {
    this.#handlers?.onOversized?.(message, "too large");
  }

  send(message: Message): void {
    if (this.isOpen) this.sent.push(message);
  }

  close(): void {
    this.terminate("closed");
  }

  terminate(reason = "terminated"): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.closeReason = reason;
    this.#handlers?.onClose(reason);
  }

  ref(): void {}
  unref(): void {}
}
