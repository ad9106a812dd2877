// Channels: who at this node listens to what, and handing messages on to the other nodes' doors. As with Redis, a message is not kept and
// not repeated: who is not connected when it passes does not get it, and neither does a node that cannot be reached at that moment.

import type { Session } from "./context.ts";
import { type Glob, globOf } from "./glob.ts";
import { PushReply } from "./reply.ts";

/** Channels and patterns that one connection may listen to. More are refused. */
export const SUBSCRIPTIONS_MAX = 10_000;

/**
 * Bytes of all the patterns of one connection. A message is compared with each of them: with a name of 1,024 bytes and patterns made for it that
 * takes 33 million steps for so many, 0.1 to 0.3 s in which the node does nothing else. More are refused; half would refuse a thousand ordinary ones.
 */
export const PATTERNS_BYTES_MAX = 64 * 1024;

/** Channel names are kept as texts of one character a byte: names need not be UTF-8. */
export function channelText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

export function channelBytes(channel: string): Buffer {
  return Buffer.from(channel, "latin1");
}

/** See the top of the file. */
export class PubSub {
  readonly #channels = new Map<string, Set<Session>>();
  readonly #patterns = new Map<string, Set<Session>>();
  /** Of each of the patterns. */
  readonly #globs = new Map<string, Glob>();
  readonly #broadcast: (channel: Uint8Array, payload: Uint8Array) => void;

  /** @param broadcast Hands a message to the doors of all other nodes; may lose it. */
  constructor(broadcast: (channel: Uint8Array, payload: Uint8Array) => void) {
    this.#broadcast = broadcast;
  }

  /** Returns how many of this node's connections got it: others are not counted, as in a Redis Cluster. */
  publish(channel: Uint8Array, payload: Uint8Array): number {
    this.#broadcast(channel, payload);
    return this.deliver(channel, payload);
  }

  /** Hands a message to the subscribers here. */
  deliver(channel: Uint8Array, payload: Uint8Array): number {
    const name = channelText(channel);
    let receivers = 0;
    for (const session of this.#channels.get(name) ?? []) {
      session.push(new PushReply(["message", channel, payload]));
      receivers++;
    }
    for (const [pattern, sessions] of this.#patterns) {
      if (this.#globs.get(pattern)?.(name) !== true) continue;
      for (const session of sessions) {
        session.push(new PushReply(["pmessage", channelBytes(pattern), channel, payload]));
        receivers++;
      }
    }
    return receivers;
  }

  subscribe(session: Session, channel: string): void {
    session.channels.add(channel);
    join(this.#channels, channel, session);
  }

  unsubscribe(session: Session, channel: string): void {
    session.channels.delete(channel);
    part(this.#channels, channel, session);
  }

  subscribePattern(session: Session, pattern: string): void {
    if (session.patterns.has(pattern)) return;
    session.patterns.add(pattern);
    session.patternsBytes += pattern.length;
    if (!this.#globs.has(pattern)) this.#globs.set(pattern, globOf(pattern));
    join(this.#patterns, pattern, session);
  }

  unsubscribePattern(session: Session, pattern: string): void {
    if (!session.patterns.delete(pattern)) return;
    session.patternsBytes -= pattern.length;
    part(this.#patterns, pattern, session);
    if (!this.#patterns.has(pattern)) this.#globs.delete(pattern);
  }

  /** The connection is gone, or starts anew. */
  forget(session: Session): void {
    for (const channel of [...session.channels]) this.unsubscribe(session, channel);
    for (const pattern of [...session.patterns]) this.unsubscribePattern(session, pattern);
  }

  /** Channels that somebody here listens to. */
  channels(): readonly string[] {
    return [...this.#channels.keys()];
  }

  subscribersOf(channel: string): number {
    return this.#channels.get(channel)?.size ?? 0;
  }

  get patternCount(): number {
    return this.#patterns.size;
  }
}

function join(map: Map<string, Set<Session>>, name: string, session: Session): void {
  const sessions = map.get(name);
  if (sessions === undefined) map.set(name, new Set([session]));
  else sessions.add(session);
}

function part(map: Map<string, Set<Session>>, name: string, session: Session): void {
  const sessions = map.get(name);
  sessions?.delete(session);
  if (sessions?.size === 0) map.delete(name);
}
