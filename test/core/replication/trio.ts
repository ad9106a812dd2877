// One node that coordinates (`a`) and the replicas of the others, all real, without the rest of a node: messages between them
// are delivered at once unless the test holds them back or loses them, and time passes only when the test says so.

import { assertNever } from "../../../src/base/assert.ts";
import type { Hashes } from "../../../src/base/hash.ts";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId } from "../../../src/base/ids.ts";
import type { Now } from "../../../src/core/machine.ts";
import type {
  Change,
  ClearRequest,
  ClientReply,
  Entry,
  PeerMessage,
  WriteRequest,
} from "../../../src/core/messages.ts";
import { Coordinator } from "../../../src/core/replication/coordinator.ts";
import { FIRST_TRY } from "../../first-try.ts";
import { at, makeFixture, SELF } from "./fixture.ts";

type Fixture = ReturnType<typeof makeFixture>;

/** What {@link Trio.write} fills in. */
type WriteOver = Partial<Omit<WriteRequest, "kind" | "id">>;

/** See the top of the file. Member `a` is the coordinator; by default every member is a replica of every key. */
export class Trio {
  readonly nodes = new Map<string, Fixture>();
  readonly coordinator: Coordinator;
  /** Messages to these members are lost; to those, they wait for {@link Trio.release}. */
  readonly lost = new Set<string>();
  readonly held = new Set<string>();
  /** Messages for which this is true are lost as well. */
  isLost: (to: MemberId, message: PeerMessage) => boolean = () => false;
  readonly waiting: { readonly to: MemberId; readonly message: PeerMessage }[] = [];
  /** Everything that was sent, in order. */
  readonly sent: { readonly to: MemberId; readonly message: PeerMessage }[] = [];
  readonly replies: ClientReply[] = [];
  isBehind = false;
  hasLease = true;
  readonly #hashes: Hashes;
  #nowMs = 1_000;
  #lastId = 0;
  #lastSeq = 0;

  constructor(
    hashes: Hashes,
    members: readonly string[] = ["a", "b", "c"],
    options: { readonly replicas?: number } = {},
  ) {
    this.#hashes = hashes;
    for (const id of members) {
      this.nodes.set(id, makeFixture(hashes, members, { ...options, self: id as MemberId }));
    }
    const { a } = this;
    this.coordinator = new Coordinator(
      { ...a, origin: 1 },
      {
        isBehind: () => this.isBehind,
        writeObstacle: () => undefined,
        readObstacle: () => (this.a.change.isTimeKnown ? undefined : "not compared"),
        hasLease: () => this.hasLease,
        valueBytesMax: 1_000_000,
      },
      a.nextId,
    );
  }

  get a(): Fixture {
    return this.node("a");
  }

  get now(): Now {
    return at(this.#nowMs);
  }

  node(id: string): Fixture {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`No member ${id}`);
    return node;
  }

  /** A key whose preference list begins with these members. */
  keyOf(...list: readonly string[]): string {
    for (let index = 0; ; index++) {
      const key = `key${index}`;
      const actual = this.a.ring.preferenceList(slotOfKey(key));
      if (list.every((id, place) => actual[place] === id)) return key;
    }
  }

  /** Puts an entry into a member's store behind everybody's back. */
  put(member: string, entry: Entry): void {
    this.node(member).store.merge(slotOfKey(entry.key), entry, this.now.wallMs);
  }

  entryIn(member: string, key: string): Entry | undefined {
    return this.node(member).store.peek(slotOfKey(key), key);
  }

  write(key: string, change: Change, over: WriteOver = {}): number {
    const id = ++this.#lastId;
    const operation = { opClient: 7, opSeq: ++this.#lastSeq, ...FIRST_TRY } as const;
    const request = { kind: "write", id, key, change, write: "quorum", ...operation, ...over } as const;
    this.coordinator.write(request, { type: "client", client: 1, id }, false, this.now);
    this.deliver();
    return id;
  }

  get(key: string, read: "one" | "quorum" | "any" = "quorum"): number {
    const id = ++this.#lastId;
    const request = { kind: "get", id, key, read, want: "value", notAfter: 0 } as const;
    this.coordinator.get(request, { type: "client", client: 1, id }, this.now);
    this.deliver();
    return id;
  }

  clear(key: string, over: Partial<ClearRequest> = {}): number {
    const id = ++this.#lastId;
    const operation = { opClient: 7, opSeq: ++this.#lastSeq, attempt: 1, notAfter: 0, begunAt: 0 } as const;
    const request = { kind: "clear", id, slots: [slotOfKey(key)], ...operation, ...over } as const;
    this.coordinator.clear(request, { type: "client", client: 1, id }, this.now);
    this.deliver();
    return id;
  }

  reply(id: number): ClientReply | undefined {
    return this.replies.find((reply) => "id" in reply && reply.id === id);
  }

  /** The member's link is lost: its messages under way are gone and nothing more reaches it. */
  lose(member: string): void {
    this.a.usable.delete(member);
    for (let index = this.waiting.length - 1; index >= 0; index--) {
      if (this.waiting[index]!.to === member) this.waiting.splice(index, 1);
    }
    this.coordinator.memberLost(member as MemberId, this.now);
    this.deliver();
  }

  /** The member is another process now, empty, and filled up from others that hold nothing. */
  restart(member: string): void {
    const members = [...this.nodes.keys()];
    const { ring } = this.a;
    const replicas = ring.preferenceList(slotOfKey("k")).length;
    this.nodes.set(member, makeFixture(this.#hashes, members, { replicas, self: member as MemberId }));
    this.coordinator.memberRestarted(member as MemberId, this.now);
    this.deliver();
  }

  /** Delivers what was held back for a member, and from now on at once. */
  release(member: string): void {
    this.held.delete(member);
    const due = this.waiting.filter(({ to }) => to === member);
    for (const one of due) {
      this.waiting.splice(this.waiting.indexOf(one), 1);
      this.#answer(one.to, one.message);
    }
    this.deliver();
  }

  /** Lets time pass in steps of 5 ms. */
  run(ms: number): void {
    const untilMs = this.#nowMs + ms;
    while (this.#nowMs < untilMs) {
      this.#nowMs = Math.min(untilMs, this.#nowMs + 5);
      this.coordinator.tick(this.now);
      this.deliver();
    }
  }

  /** Delivers everything that is neither lost nor held, and the answers. */
  deliver(): void {
    for (let effects = this.a.outbox.take(); effects.length > 0; effects = this.a.outbox.take()) {
      for (const effect of effects) {
        if (effect.kind === "reply") this.replies.push(effect.message);
        if (effect.kind !== "send" || effect.path !== "peer") continue;
        const { to, message } = effect;
        this.sent.push({ to, message });
        if (this.lost.has(to) || this.isLost(to, message)) continue;
        if (this.held.has(to)) this.waiting.push({ to, message });
        else this.#answer(to, message);
      }
    }
  }

  #answer(from: MemberId, message: PeerMessage): void {
    const { coordinator, now } = this;
    const { replica } = this.node(from);
    switch (message.kind) {
      case "read":
        coordinator.readReplied(from, replica.read(message), now);
        return;
      case "replicate": {
        const reply = replica.replicate(message, SELF, now);
        if (!this.a.hints.replicated(from, reply, now)) coordinator.replicated(from, reply, now);
        return;
      }
      case "clearReplica": {
        const reply = replica.clear(message, now);
        if (!this.a.hints.clearReplied(from, reply, now)) coordinator.clearReplied(from, reply, now);
        return;
      }
      case "forward":
      case "catchUpReply":
        return;
      default:
        assertNever(message as never);
    }
  }
}

/** A plain `set`. */
export function setTo(text: string, over: Partial<Extract<Change, { type: "set" }>> = {}): Change {
  const value = new TextEncoder().encode(text);
  return { type: "set", value, format: 1, ttlMs: 0, condition: "none", ifVersion: 0, ...over };
}

/** The text of a `got` reply; `undefined` for a miss. Throws for anything else. */
export function textOf(reply: ClientReply | undefined): string | undefined {
  if (reply?.kind !== "got")
    throw new Error(`Expected an answer to a get, received ${JSON.stringify(reply)}`);
  return reply.found ? new TextDecoder().decode(reply.value) : undefined;
}
