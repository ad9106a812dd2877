// Client-side caching (CLIENT TRACKING): clients that keep what they read are told when it is not so any more, whoever changed it and at
// whatever node. `slot-watch.ts` brings the changes here, `read-table.ts` knows who read what, and here they become messages to clients.
//
// What is promised: a client never keeps a stale value for good. It is told of each change after the reply that it may have cached; of what
// cannot be vouched for it is told at once, and when changes may have been missed it is told to forget everything (a `null` in place of keys).
// It may be told more often than needed.
//
// A client tracks in one of two ways: what it has read itself, or (BCAST) every key that begins with one of its prefixes.

import { slotOfKey } from "../../base/hash.ts";
import type { MemberId } from "../../base/ids.ts";
import type { Change, Changed, ChangedKey, ReadMode, Want, Watching } from "../../core/messages.ts";
import { isSubscriber, type Session } from "./context.ts";
import type { Answer, CoreKeyspace, Keyspace, Waiter } from "./keyspace.ts";
import { ReadTable } from "./read-table.ts";
import { PushReply, type Reply } from "./reply.ts";
import type { SlotWatch } from "./slot-watch.ts";
import { keyBytes } from "./values.ts";

/** Prefixes of one connection; more are refused. */
export const PREFIXES_MAX = 1_000;
/** Keys that one message names. */
const KEYS_PER_PUSH = 1_000;
/** "Forget everything" is said at once, and then at most this often: clearing all slots is told of slot by slot. */
const FORGET_MS = 50;
/** Between two attempts to be told of all keys. */
const BROADCAST_RETRY_MS = 500;
/** Writes of connections that do not want to be told of their own, the newest. */
const OWN_WRITES_MAX = 10_000;
/** The channel that a connection of RESP2 hears it on. */
const CHANNEL = "__redis__:invalidate";

/** How one connection tracks. */
export interface Tracking {
  readonly isBroadcast: boolean;
  readonly isOptIn: boolean;
  readonly isOptOut: boolean;
  readonly skipsOwn: boolean;
  /** Id of the connection that is told instead; 0 for this one. */
  readonly redirect: number;
  /** One character a byte; with BCAST only, `[""]` for every key. */
  readonly prefixes: readonly string[];
  /** CLIENT CACHING: the next command, or transaction, is an exception. */
  isExcepted: boolean;
  /** The connection that was to be told is gone. */
  isRedirectBroken: boolean;
}

export interface TrackerPorts {
  readonly keyspace: CoreKeyspace;
  session(id: number): Session | undefined;
  /** Of this door's operations. */
  readonly clientId: number;
}

/** See the top of the file. */
export class Tracker {
  readonly #ports: TrackerPorts;
  readonly #watch: SlotWatch;
  readonly #sessions = new Map<number, Session>();
  readonly #broadcasts = new Set<Session>();
  readonly #table: ReadTable;
  readonly #ownWrites = new Map<number, number>();
  /** What is to be said at the end of the turn. */
  #stale = new Map<number, Set<string>>();
  #forgetTimer: NodeJS.Timeout | undefined;
  #isForgetDue = false;
  #broadcastTimer: NodeJS.Timeout | undefined;

  /** @param watchWith Makes what tells of changes. */
  constructor(
    ports: TrackerPorts,
    watchWith: (listener: { onChanged(items: readonly ChangedKey[]): void; onLost(): void }) => SlotWatch,
  ) {
    this.#ports = ports;
    this.#table = new ReadTable((reader, key) => this.#note(reader, key));
    this.#watch = watchWith({ onChanged: (items) => this.#onChanged(items), onLost: () => this.#onLost() });
  }

  /** For INFO. */
  get counts(): {
    readonly clients: number;
    readonly keys: number;
    readonly reads: number;
    readonly prefixes: number;
  } {
    const prefixes = new Set([...this.#broadcasts].flatMap((session) => session.tracking?.prefixes ?? []));
    return {
      clients: this.#sessions.size,
      keys: this.#table.keys,
      reads: this.#table.reads,
      prefixes: prefixes.size,
    };
  }

  /** The connection tracks from now on; resolves when it can rely on it. */
  async turnOn(session: Session, tracking: Tracking): Promise<void> {
    session.tracking = tracking;
    this.#sessions.set(session.id, session);
    this.#watch.start();
    if (!tracking.isBroadcast) return;
    this.#broadcasts.add(session);
    if (!(await this.#watch.watchAll())) this.#broadcastLater();
  }

  /** The connection is gone, or does not want it any more. */
  turnOff(session: Session): void {
    session.tracking = undefined;
    this.#broadcasts.delete(session);
    if (!this.#sessions.delete(session.id) || this.#sessions.size > 0) return;
    this.#watch.stop();
    this.#table.clear();
    this.#ownWrites.clear();
  }

  close(): void {
    for (const session of [...this.#sessions.values()]) this.turnOff(session);
    clearTimeout(this.#forgetTimer);
    clearTimeout(this.#broadcastTimer);
  }

  /** The link to this member came or went; or, for none, the cluster has changed. */
  clusterChanged(member?: MemberId): void {
    if (member === undefined) this.#watch.check();
    else this.#watch.linkChanged(member);
  }

  /** Takes what a member tells. */
  heard(member: MemberId, message: Watching | Changed): void {
    this.#watch.heard(member, message);
  }

  /** The keys as the commands of a tracking connection use them. `reads`: the connection remembers what it reads through it. */
  keyspaceOf(session: Session, reads: boolean): Keyspace {
    const { tracking } = session;
    if (tracking === undefined) return this.#ports.keyspace;
    const { isBroadcast, isOptIn, isOptOut, isExcepted, skipsOwn } = tracking;
    const isWanted = isOptIn ? isExcepted : !(isOptOut && isExcepted);
    const remembers = reads && isWanted && !isBroadcast;
    return remembers || skipsOwn
      ? new TrackedKeyspace(this, this.#ports.keyspace, session, remembers)
      : this.#ports.keyspace;
  }

  /** Runs `read`, which calls `ended` when it knows the version, so that the connection is told of what comes after that version. */
  read(session: Session, key: string, read: (ended: (version: number) => void) => void): void {
    const slot = slotOfKey(key);
    const begin = (isVouchedFor: boolean): void => {
      const begun = this.#table.begin(session.id, key);
      read((version) => this.#table.end(session.id, key, { read: begun, version, isVouchedFor }));
    };
    if (this.#watch.isWatched(slot)) begin(true);
    else void this.#watch.watch(slot).then(begin);
  }

  /** The connection wrote under this operation, and does not want to be told of it. */
  noteOwnWrite(session: Session, opSeq: number): void {
    this.#ownWrites.set(opSeq, session.id);
    if (this.#ownWrites.size <= OWN_WRITES_MAX) return;
    for (const oldest of this.#ownWrites.keys()) {
      this.#ownWrites.delete(oldest);
      return;
    }
  }

  #onChanged(items: readonly ChangedKey[]): void {
    for (const { key, version, opClient, opSeq } of items) {
      const except = opClient === this.#ports.clientId ? this.#ownWrites.get(opSeq) : undefined;
      this.#table.changed(key, version, except);
      if (this.#broadcasts.size > 0) this.#broadcast(key, except);
    }
  }

  #broadcast(key: string, except: number | undefined): void {
    const text = keyBytes(key).toString("latin1");
    for (const session of this.#broadcasts) {
      if (session.id === except) continue;
      if (session.tracking?.prefixes.some((prefix) => text.startsWith(prefix))) this.#note(session.id, key);
    }
  }

  #note(reader: number, key: string): void {
    if (this.#stale.size === 0) queueMicrotask(() => this.#tell());
    const keys = this.#stale.get(reader);
    if (keys === undefined) this.#stale.set(reader, new Set([key]));
    else keys.add(key);
  }

  #tell(): void {
    const stale = this.#stale;
    this.#stale = new Map();
    for (const [id, keys] of stale) {
      const session = this.#sessions.get(id);
      if (session === undefined) continue;
      const all = [...keys].map(keyBytes);
      for (let from = 0; from < all.length; from += KEYS_PER_PUSH)
        this.#push(session, all.slice(from, from + KEYS_PER_PUSH));
    }
  }

  #onLost(): void {
    if (this.#forgetTimer !== undefined) {
      this.#isForgetDue = true;
      return;
    }
    this.#forgetAll();
    this.#forgetTimer = setTimeout(() => {
      this.#forgetTimer = undefined;
      if (!this.#isForgetDue) return;
      this.#isForgetDue = false;
      this.#onLost();
    }, FORGET_MS);
  }

  #forgetAll(): void {
    this.#table.clear();
    for (const session of this.#sessions.values()) this.#push(session, null);
    if (this.#broadcasts.size > 0 && !this.#watch.isWatchingAll) void this.#broadcastAgain();
  }

  /** What changed before all were asked again was not told. */
  async #broadcastAgain(): Promise<void> {
    const isWatching = await this.#watch.watchAll();
    for (const session of this.#broadcasts) this.#push(session, null);
    if (!isWatching) this.#broadcastLater();
  }

  /** Somebody who may change keys cannot be asked: until then, clients are told to forget everything again and again. */
  #broadcastLater(): void {
    this.#broadcastTimer ??= setTimeout(() => {
      this.#broadcastTimer = undefined;
      if (this.#broadcasts.size > 0) void this.#broadcastAgain();
    }, BROADCAST_RETRY_MS);
  }

  /** After the replies to what the connection has under way: it may be about to cache one of them. */
  #push(session: Session, keys: readonly Uint8Array[] | null): void {
    session.afterRunning(() => {
      const { tracking } = session;
      if (tracking === undefined) return;
      const target = tracking.redirect === 0 ? session : this.#ports.session(tracking.redirect);
      if (target === undefined) {
        if (!tracking.isRedirectBroken && session.protocol === 3)
          session.push(new PushReply(["tracking-redir-broken", tracking.redirect]));
        tracking.isRedirectBroken = true;
      } else if (target.protocol === 3) target.push(new PushReply(["invalidate", keys as Reply]));
      else if (tracking.redirect !== 0 && isSubscriber(target))
        target.push(new PushReply(["message", CHANNEL, keys as Reply]));
    });
  }
}

/** The cluster's keys, as one command of a tracking connection uses them. */
class TrackedKeyspace implements Keyspace {
  readonly isOwnView = false;
  readonly #tracker: Tracker;
  readonly #inner: CoreKeyspace;
  readonly #session: Session;
  readonly #remembers: boolean;

  constructor(tracker: Tracker, inner: CoreKeyspace, session: Session, remembers: boolean) {
    this.#tracker = tracker;
    this.#inner = inner;
    this.#session = session;
    this.#remembers = remembers;
  }

  get(key: string, want: Want, waiter: Waiter, read?: ReadMode): void {
    if (!this.#remembers) {
      this.#inner.get(key, want, waiter, read);
      return;
    }
    this.#tracker.read(this.#session, key, (ended) => {
      // With its version.
      const wanted = want === "value" ? "entry" : want;
      const settle = (answer: Answer): void => {
        ended(answer.kind === "got" && answer.found ? answer.version : 0);
        waiter.settle(answer);
      };
      this.#inner.get(key, wanted, { settle }, read);
    });
  }

  write(key: string, change: Change, waiter: Waiter): void {
    const opSeq = this.#inner.write(key, change, waiter);
    if (this.#session.tracking?.skipsOwn) this.#tracker.noteOwnWrite(this.#session, opSeq);
  }
}
