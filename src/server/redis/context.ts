// What a command gets to know beside its arguments: the connection it came on, and the services of the node's door.

import type { NodeStatus } from "../../core/status.ts";
import type { Access } from "../../io/link.ts";
import type { Call } from "./call.ts";
import type { ClusterMap } from "./cluster-map.ts";
import type { CommandSpec } from "./command-table.ts";
import type { EditQueue } from "./edit.ts";
import type { CoreKeyspace } from "./keyspace.ts";
import type { PubSub } from "./pub-sub.ts";
import type { Protocol, Reply } from "./reply.ts";
import type { Request } from "./request.ts";
import type { SlotSweep } from "./slot-sweep.ts";
import type { Tracker, Tracking } from "./tracking.ts";

/** A request that waits for EXEC. */
export interface Queued {
  readonly spec: CommandSpec;
  readonly request: Request;
}

/** The state of one connection that commands read and change. */
export interface Session {
  readonly id: number;
  readonly address: string;
  readonly localAddress: string;
  readonly sinceMs: number;
  /** When its last request came, and what it was. */
  lastMs: number;
  lastCommand: string;
  protocol: Protocol;
  /** As whom it acts; `undefined` until it has proved something. */
  access: Access | undefined;
  name: string;
  libraryName: string;
  libraryVersion: string;
  /** The requests since MULTI; `undefined` outside of a transaction. */
  queue: Queued[] | undefined;
  queueBytes: number;
  /** Something that cannot run was queued: EXEC refuses. */
  isQueueBroken: boolean;
  /** Versions of watched keys, 0 for absent ones. */
  readonly watched: Map<string, number>;
  readonly channels: Set<string>;
  readonly patterns: Set<string>;
  /** Of all its patterns together; `PubSub` keeps it. */
  patternsBytes: number;
  /** CLIENT REPLY: `skip next` until CLIENT REPLY SKIP itself has passed without a reply, `skip` for the request after it. */
  replies: "on" | "off" | "skip" | "skip next";
  /** Set while the client caches what it reads (tracking.ts). */
  tracking: Tracking | undefined;
  /** Runs `action` once the replies to what is under way now have been written; at once when nothing is. */
  afterRunning(action: () => void): void;
  /** Sends something outside the order of requests and replies. */
  push(reply: Reply): void;
  /** Sends what has been written, then closes. */
  close(): void;
}

/** Whether the connection may only subscribe, unsubscribe and the like: RESP2 has no way to tell pushes from replies. */
export function isSubscriber(session: Session): boolean {
  return session.protocol === 2 && session.channels.size + session.patterns.size > 0;
}

/** Counters that INFO shows. */
export interface DoorCounters {
  connectionsTotal: number;
  commandsTotal: number;
  rejectedTotal: number;
  hitsTotal: number;
  missesTotal: number;
}

/** The node's door, as commands see it. */
export interface Services {
  readonly keyspace: CoreKeyspace;
  readonly edits: EditQueue;
  readonly pubSub: PubSub;
  readonly tracker: Tracker;
  readonly sweep: SlotSweep;
  readonly map: ClusterMap;
  readonly counters: DoorCounters;
  /** Whether the door presents itself as a cluster. */
  readonly isCluster: boolean;
  /** Whether connections must prove something. */
  readonly isSecured: boolean;
  /** As whom a connection acts that gave this name and secret; `undefined` for wrong ones, at the same cost. */
  accessOf(name: string, secret: Uint8Array): Access | undefined;
  /** A connection gave a right one. */
  onProved(session: Session): void;
  /** A connection gave a wrong one. */
  onWrongSecret(session: Session): void;
  /** A request was refused that its user may not make. */
  onDenied(session: Session, reason: string): void;
  readonly port: number;
  readonly runId: string;
  readonly version: string;
  readonly valueBytesMax: number;
  readonly memoryBytes: number;
  readonly connectionsMax: number;
  status(): NodeStatus;
  wallMs(): number;
  sessions(): Iterable<Session>;
  /** `undefined` when there is none of this id. */
  session(id: number): Session | undefined;
  onBug(error: unknown): void;
}

/** What a command runs in. */
export interface Context {
  readonly session: Session;
  readonly services: Services;
}

/**
 * Runs a command: returns its reply, or a promise of it, or nothing when it ends the call itself, now or later. Throws a `CommandError`
 * for what cannot run.
 */
export type Handler = (call: Call, context: Context) => Reply | Promise<Reply> | undefined;
