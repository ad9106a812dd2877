// Runs clients' requests: reads, writes, scans, counts, clears.
//
// Any node takes any key. A replica coordinates; another node forwards a write, once, to a replica that can be reached. A write
// whose outcome depends on the value there (delete, touch, increment, conditions) is decided by the slot's acting primary, the
// first replica that can be reached: elsewhere it is forwarded there on the first attempt, and decided by whoever gets a
// repeated attempt, since the repeat means that the primary did not answer, or one that says so, because its caller goes around a slow
// primary. Such writes of one key run one at a time.
//
// A read of mode `one` is answered from this node's copy alone only where that keeps the promise: this node is first in the
// key's preference list, counts for the slot, which is not in doubt, and is not behind. One of scope `any` is answered by every replica that counts and is
// not behind, as it has it. Everything else gathers.

import type { ErrorCode } from "../../base/errors.ts";
import { slotOfKey } from "../../base/hash.ts";
import type { MemberId, Slot } from "../../base/ids.ts";
import { NumberMap } from "../../base/number-map.ts";
import type { ClientHandle, Now } from "../machine.ts";
import type {
  ClearReplicaReply,
  ClearRequest,
  ClientReply,
  CountRequest,
  Entry,
  Forward,
  Forwarded,
  ForwardedRequest,
  GetReply,
  GetRequest,
  ReadReplicaReply,
  ReadScope,
  ReplicateReply,
  ScanRequest,
  WriteRequest,
} from "../messages.ts";
import { isExpired, isLive } from "../store/entry.ts";
import { ClearTask } from "./clear-task.ts";
import { isTooFarAhead } from "./clock.ts";
import { majorityOf, toPeerBegunAt } from "./cluster-view.ts";
import { needsCurrent } from "./decide.ts";
import { ReadTask } from "./read-task.ts";
import { type Task, type TaskContext, Tasks } from "./tasks.ts";
import { isTooLate, type WriteResult, WriteTask } from "./write-task.ts";

/** Bytes of keys in one answer to a scan. */
const SCAN_BYTES_MAX = 256 * 1024;
/** Keys whose last write here may not have reached a majority; past this bound every key is treated so. */
const UNCERTAIN_KEYS_MAX = 10_000;

/** Entries looked at for one answer to a scan, the first slot's aside: some 5 ms. The asker goes on where it ended. */
const SCAN_HEADS_MAX = 20_000;
/** Repeats of one write that wait for its end here; one more is refused. */
const REPEATS_MAX = 64;
/** The pause asked of a client whose request is one too many. */
const RETRY_AFTER_MS = 100;

/** How long a repair waits for the last replica. */
const REPAIR_PATIENCE_MS = 1_000;
/** Keys repaired at one time. */
const REPAIRS_MAX = 256;

/** Where an answer goes. */
export type ReplyTo =
  | { readonly type: "client"; readonly client: ClientHandle; readonly id: number }
  | { readonly type: "peer"; readonly member: MemberId; readonly forwardId: number; readonly id: number };

/** What the coordinator needs beside the tasks' context. */
export interface CoordinatorState {
  /** Whether this node may have missed writes. */
  isBehind(): boolean;
  /** Why this node must not coordinate writes now; `undefined` when it may. */
  writeObstacle(now: Now): string | undefined;
  /** Why this node must not answer reads now; `undefined` when it may. */
  readObstacle(now: Now): string | undefined;
  /** Whether this node is in touch with enough of the ring to begin and to acknowledge quorum operations (view-lease.ts). */
  hasLease(now: Now): boolean;
  readonly valueBytesMax: number;
}

/** Writes of one key that depend on its value, run one at a time. */
interface WriteQueue {
  readonly waiting: ((now: Now) => void)[];
  isBusy: boolean;
  isDraining: boolean;
}

interface PendingForward {
  readonly replyTo: ReplyTo;
  readonly member: MemberId;
}

/** A write under way, and who is to be told. */
interface RunningWrite {
  readonly request: WriteRequest;
  readonly slot: Slot;
  readonly deadlineMs: number;
  readonly replyTo: ReplyTo;
  /** Repeats that came here meanwhile; and the latest of their last instants. */
  others: ReplyTo[] | undefined;
  notAfter: number;
  /** The next write with this sequence number, of another client. */
  next: RunningWrite | undefined;
}

/** Writes under way by operation. By sequence number alone first: clients that are at the same one are few. */
class RunningWrites {
  readonly #bySeq = new NumberMap<RunningWrite>();

  find(opClient: number, opSeq: number): RunningWrite | undefined {
    let running = this.#bySeq.get(opSeq);
    while (running !== undefined && running.request.opClient !== opClient) running = running.next;
    return running;
  }

  add(running: RunningWrite): void {
    running.next = this.#bySeq.get(running.request.opSeq);
    this.#bySeq.set(running.request.opSeq, running);
  }

  delete(running: RunningWrite): void {
    const { opSeq } = running.request;
    const first = this.#bySeq.get(opSeq);
    if (first === running) {
      if (running.next === undefined) this.#bySeq.delete(opSeq);
      else this.#bySeq.set(opSeq, running.next);
      return;
    }
    let before = first;
    while (before !== undefined && before.next !== running) before = before.next;
    if (before !== undefined) before.next = running.next;
  }
}

/** See the top of the file. */
export class Coordinator {
  readonly #context: TaskContext;
  readonly #tasks: Tasks;
  readonly #state: CoordinatorState;
  readonly #nextId: () => number;
  readonly #forwards = new Map<number, PendingForward & { readonly atMs: number }>();
  /** Per key: the running write that depends on its value, and those waiting. Bounded by the number of tasks. */
  readonly #queues = new Map<string, WriteQueue>();
  /** Writes under way by operation, to join repeats that arrive at the same node. */
  readonly #running = new RunningWrites();
  readonly #repairs = new Set<string>();
  readonly #uncertain = new Set<string>();
  #isAllUncertain = false;
  #pending = 0;

  constructor(
    parts: Omit<TaskContext, "register" | "wake" | "forget" | "repair" | "isBehind">,
    state: CoordinatorState,
    nextId: () => number,
  ) {
    this.#tasks = new Tasks(nextId);
    this.#context = {
      ...parts,
      register: (task: Task) => this.#tasks.register(task),
      wake: (task: Task, atMs: number) => this.#tasks.wake(task, atMs),
      forget: (task: Task) => this.#tasks.forget(task),
      repair: (key: string, now: Now) => this.repair(key, now),
      isBehind: () => state.isBehind(),
    };
    this.#state = state;
    this.#nextId = nextId;
  }

  /** Requests under way. */
  get pending(): number {
    return this.#pending + this.#forwards.size;
  }

  // ---- reads

  get(request: GetRequest, replyTo: ReplyTo, now: Now): void {
    const { view, store } = this.#context;
    const slot = slotOfKey(request.key);
    if (view.ring === undefined) {
      this.#fail(replyTo, "ERR_NO_QUORUM", "This node is not in the ring yet", { elsewhere: true });
      return;
    }
    if (isTooLate(request.notAfter, now)) {
      this.#fail(
        replyTo,
        "ERR_TIMEOUT",
        "The read came to its turn after its caller stopped waiting for it",
        {
          elsewhere: true,
        },
      );
      return;
    }
    const obstacle = this.#state.readObstacle(now);
    if (obstacle !== undefined) {
      this.#fail(replyTo, "ERR_NO_QUORUM", obstacle, { elsewhere: true });
      return;
    }
    if (request.read === "quorum" && !this.#state.hasLease(now)) {
      this.#context.outbox.event({ type: "noQuorum", write: false });
      this.#fail(replyTo, "ERR_NO_QUORUM", OUT_OF_TOUCH, { elsewhere: true });
      return;
    }
    if (this.#mayAnswerAlone(slot, request.read)) {
      const entry = store.get(slot, request.key, now.wallMs);
      if (entry !== undefined || !this.#isFloorAhead(slot, now)) {
        this.#got(replyTo, request, entry);
        return;
      }
    }
    if (this.#isOverloaded(replyTo)) return;
    this.#pending++;
    const read = {
      key: request.key,
      slot,
      mode: request.read === "quorum" ? "quorum" : "degraded",
      // Nobody waits for it after that.
      deadlineMs: Math.min(
        now.monoMs + this.#context.options.requestMsMax,
        request.notAfter || Number.POSITIVE_INFINITY,
      ),
    } as const;
    new ReadTask(this.#context, read, (result, at) => {
      this.#pending--;
      if (result.status === "ok" && (request.read !== "quorum" || this.#state.hasLease(at))) {
        this.#got(
          replyTo,
          request,
          result.entry !== undefined && isLive(result.entry, at.wallMs) ? result.entry : undefined,
        );
      } else {
        this.#context.outbox.event({ type: "noQuorum", write: false });
        this.#fail(replyTo, "ERR_NO_QUORUM", "Not enough replicas of the key can be reached", {
          elsewhere: true,
        });
      }
    }).start(now);
  }

  /** The live entry, or `undefined` for none, when this node may say so by itself; {@link NOT_ALONE} when others have to be asked. */
  getAlone(key: string, read: ReadScope, now: Now): Entry | undefined | typeof NOT_ALONE {
    const slot = slotOfKey(key);
    if (this.#context.view.ring === undefined || !this.#mayAnswerAlone(slot, read)) return NOT_ALONE;
    if (read === "quorum" && !this.#state.hasLease(now)) return NOT_ALONE;
    const entry = this.#context.store.get(slot, key, now.wallMs);
    return entry === undefined && this.#isFloorAhead(slot, now) ? NOT_ALONE : entry;
  }

  #mayAnswerAlone(slot: Slot, read: ReadScope): boolean {
    const { view, slots } = this.#context;
    const { ring } = view;
    if (read === "any" && slots.counts(slot)) return !this.#state.isBehind();
    return (
      ring?.ownerOf(slot) === view.self &&
      slots.isTrusted(slot) &&
      !this.#state.isBehind() &&
      (read !== "quorum" || ring.preferenceList(slot).length === 1)
    );
  }

  /** Whether a clock that was ahead has left a floor below which new writes lie: those of keys that this node does not hold are refused here. */
  #isFloorAhead(slot: Slot, { wallMs }: Now): boolean {
    const { store, options } = this.#context;
    return isTooFarAhead(store.floor(slot), { wallMs, skewMsMax: options.clockSkewMsMax, held: 0 });
  }

  /** As for a read of mode `one`, and in touch with all who might have acknowledged something without this node. */
  #mayListAlone(slot: Slot, now: Now): boolean {
    const { view } = this.#context;
    const list = view.ring?.preferenceList(slot) ?? [];
    if (this.#isFloorAhead(slot, now)) return false;
    return this.#mayAnswerAlone(slot, "one") && list.every((member) => view.isUsable(member));
  }

  #got(replyTo: ReplyTo, request: GetRequest, entry: Entry | undefined): void {
    const wantsBytes = entry?.value !== undefined && request.want !== "exists";
    const isEntry = entry !== undefined && request.want === "entry";
    const reply: GetReply = {
      kind: "got",
      id: replyTo.id,
      found: entry !== undefined,
      format: entry?.format ?? 0,
      value: wantsBytes ? entry.value! : NO_BYTES,
      version: isEntry ? entry.version : 0,
      expiresAt: isEntry ? entry.expiresAt : 0,
    };
    this.#reply(replyTo, reply);
  }

  // ---- writes

  /** @param isForwarded Whether another node handed it on: then it is coordinated here or not at all. */
  write(request: WriteRequest, replyTo: ReplyTo, isForwarded: boolean, now: Now): void {
    const { view } = this.#context;
    const slot = slotOfKey(request.key);
    const obstacle = this.#obstacle(request, now);
    if (obstacle !== undefined) {
      this.#fail(replyTo, obstacle.code, obstacle.message, obstacle);
      return;
    }
    if (this.#isOverloaded(replyTo)) return;
    const coordinator = this.#coordinatorFor(request, slot, isForwarded);
    if (coordinator === undefined) {
      this.#fail(replyTo, "ERR_NO_QUORUM", "No replica of the key can be reached from here", {
        elsewhere: true,
      });
    } else if (coordinator !== view.self) {
      this.#forward(request, replyTo, coordinator, now);
    } else if (!this.#hasQuorum(request, slot)) {
      this.#context.outbox.event({ type: "noQuorum", write: true });
      this.#fail(replyTo, "ERR_NO_QUORUM", "Too few replicas of the key can be reached", { elsewhere: true });
    } else if (request.write !== "async" && !this.#state.hasLease(now)) {
      this.#context.outbox.event({ type: "noQuorum", write: true });
      this.#fail(replyTo, "ERR_NO_QUORUM", OUT_OF_TOUCH, { elsewhere: true });
    } else {
      this.#coordinate(request, slot, replyTo, now);
    }
  }

  #obstacle(
    request: WriteRequest,
    now: Now,
  ): { readonly code: ErrorCode; readonly message: string; readonly elsewhere: boolean } | undefined {
    const obstacle = this.#state.writeObstacle(now);
    if (this.#context.view.ring === undefined) {
      return { code: "ERR_NO_QUORUM", message: "This node is not in the ring yet", elsewhere: true };
    }
    if (obstacle !== undefined) return { code: "ERR_NO_QUORUM", message: obstacle, elsewhere: true };
    if (isTooLate(request.notAfter, now)) return TOO_LATE;
    const { change } = request;
    const size = change.type === "set" || change.type === "put" ? (change.value?.length ?? 0) : 0;
    if (size > this.#state.valueBytesMax) {
      const message = `The value has ${size} bytes, more than the ${this.#state.valueBytesMax} allowed`;
      return { code: "ERR_TOO_LARGE", message, elsewhere: false };
    }
    return undefined;
  }

  /** Who should run the write; `undefined` when nobody who may can be reached. */
  #coordinatorFor(request: WriteRequest, slot: Slot, isForwarded: boolean): MemberId | undefined {
    const { view, slots } = this.#context;
    const list = view.ring?.preferenceList(slot) ?? [];
    const isReplica = list.includes(view.self);
    if (isReplica && (isForwarded || request.attempt > 1 || request.isDecidedHere)) return view.self;
    if (isForwarded) return undefined;
    if (isReplica && slots.counts(slot) && !needsCurrent(request.change)) return view.self;
    const candidates = list.filter(
      (member) => view.isUsable(member) && view.mayCount(member) && member !== view.self,
    );
    if (!isReplica) return candidates[0] ?? list.find((member) => view.isUsable(member));
    if (!slots.counts(slot)) return candidates[0] ?? view.self;
    // The acting primary: the first in the list that can be reached.
    const first = list.find((member) => member === view.self || candidates.includes(member));
    return first ?? view.self;
  }

  /**
   * Before anything is stored: on a minority side a write certainly fails, and says so. A member that is filling up may count for
   * this slot already; its answer tells.
   */
  #hasQuorum(request: WriteRequest, slot: Slot): boolean {
    const { view, slots } = this.#context;
    const list = view.ring?.preferenceList(slot) ?? [];
    const needed =
      request.write === "all" ? list.length : request.write === "async" ? 1 : majorityOf(list.length);
    let able = 0;
    for (const member of list) if (member === view.self ? slots.counts(slot) : view.isUsable(member)) able++;
    return able >= needed;
  }

  #coordinate(request: WriteRequest, slot: Slot, replyTo: ReplyTo, now: Now): void {
    const { opClient, opSeq, notAfter } = request;
    const known = this.#running.find(opClient, opSeq);
    if (known !== undefined) {
      known.others ??= [];
      if (known.others.length >= REPEATS_MAX) {
        this.#refuse(replyTo);
        return;
      }
      known.others.push(replyTo);
      known.notAfter = Math.max(known.notAfter, notAfter);
      return;
    }
    const deadlineMs = now.monoMs + this.#context.options.requestMsMax;
    const running = { request, slot, replyTo, notAfter, deadlineMs, others: undefined, next: undefined };
    this.#running.add(running);
    this.#pending++;
    if (needsCurrent(request.change)) this.#enqueue(request.key, (at) => this.#begin(running, at), now);
    else this.#begin(running, now);
  }

  #begin(running: RunningWrite, now: Now): void {
    const { request, slot, deadlineMs } = running;
    // It may have waited for its turn too long.
    if (isTooLate(running.notAfter, now) || now.monoMs >= deadlineMs) {
      this.#answer(running, TOO_LATE, now);
      return;
    }
    const plan = { slot, deadlineMs, canDecideAlone: this.#canDecideAlone(slot, request.key) };
    const answer = (result: WriteResult, at: Now) => {
      const isOutlived = result.status === "ok" && request.write !== "async" && !this.#state.hasLease(at);
      this.#answer(running, isOutlived ? LEASE_OUTLIVED : result, at);
    };
    new WriteTask(this.#context, request, plan, answer).start(now);
  }

  #answer(running: RunningWrite, result: WriteResult, now: Now): void {
    const { request } = running;
    this.#pending--;
    this.#running.delete(running);
    this.#written(running.replyTo, result);
    for (const to of running.others ?? []) this.#written(to, result);
    this.#noteCertainty(request.key, result);
    if (needsCurrent(request.change)) this.#leaveQueue(request.key, now);
  }

  #enqueue(key: string, begin: (now: Now) => void, now: Now): void {
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      queue = { waiting: [], isBusy: false, isDraining: false };
      this.#queues.set(key, queue);
    }
    queue.waiting.push(begin);
    this.#drainQueue(key, queue, now);
  }

  #leaveQueue(key: string, now: Now): void {
    const queue = this.#queues.get(key);
    if (queue === undefined) return;
    queue.isBusy = false;
    this.#drainQueue(key, queue, now);
  }

  /** A loop, not recursion: a write may end while it begins, and a queue may be long. */
  #drainQueue(key: string, queue: WriteQueue, now: Now): void {
    if (queue.isDraining) return;
    queue.isDraining = true;
    while (!queue.isBusy && queue.waiting.length > 0) {
      queue.isBusy = true;
      queue.waiting.shift()!(now);
    }
    queue.isDraining = false;
    if (!queue.isBusy) this.#queues.delete(key);
  }

  /**
   * Whether an outcome may depend on what this node holds, without asking others. Not while a majority may go on under the ring
   * before: what is then built on an older value here has a newer version than what they acknowledge.
   */
  #canDecideAlone(slot: Slot, key: string): boolean {
    const { view, slots } = this.#context;
    const isFirst = view.ring?.ownerOf(slot) === view.self;
    return (
      isFirst &&
      view.isSettled &&
      slots.isTrusted(slot) &&
      !this.#state.isBehind() &&
      !this.#isAllUncertain &&
      !this.#uncertain.has(key)
    );
  }

  /** A write that may not have reached a majority must not be built upon before it has. */
  #noteCertainty(key: string, result: WriteResult): void {
    if (result.status === "ok") this.#uncertain.delete(key);
    else if (result.applied === "maybe" && this.#uncertain.size < UNCERTAIN_KEYS_MAX)
      this.#uncertain.add(key);
    else if (result.applied === "maybe") this.#isAllUncertain = true;
  }

  #written(replyTo: ReplyTo, result: WriteResult): void {
    if (result.status === "ok") {
      this.#reply(replyTo, { kind: "written", id: replyTo.id, outcome: result.outcome });
      return;
    }
    if (result.code === "ERR_NO_QUORUM") this.#context.outbox.event({ type: "noQuorum", write: true });
    this.#fail(replyTo, result.code, result.message, result);
  }

  // ---- forwarding

  /** Hands a request on to the member that is to answer it; for questions about slots that this node does not keep. */
  ask(request: ForwardedRequest, replyTo: ReplyTo, member: MemberId, now: Now): void {
    if (this.#isOverloaded(replyTo)) return;
    this.#forward(request, replyTo, member, now);
  }

  #forward(request: ForwardedRequest, replyTo: ReplyTo, member: MemberId, now: Now): void {
    const translated = this.#inTimeOf(request, member);
    if (translated === undefined) {
      const message = "The clock of the node that is to coordinate the write is not known yet";
      this.#fail(replyTo, "ERR_NO_QUORUM", message, { elsewhere: true });
      return;
    }
    const id = this.#nextId();
    this.#forwards.set(id, { replyTo, member, atMs: now.monoMs });
    this.#context.outbox.peer(member, { kind: "forward", id, request: translated });
  }

  /**
   * The request with its instants in the member's clock. `undefined` for a write that must start in time where that clock is not known:
   * it might be done long after its caller has given up. A late read does no harm.
   */
  #inTimeOf(request: ForwardedRequest, member: MemberId): ForwardedRequest | undefined {
    if (!("notAfter" in request)) return request;
    const { view } = this.#context;
    const notAfter = request.notAfter === 0 ? 0 : view.toPeerMono(member, request.notAfter);
    if (request.kind === "get") return { ...request, notAfter };
    if (notAfter === 0 && request.notAfter > 0) return undefined;
    return { ...request, notAfter, begunAt: toPeerBegunAt(view, member, request.begunAt) };
  }

  forwarded(from: MemberId, message: Forward, now: Now): void {
    const replyTo = { type: "peer", member: from, forwardId: message.id, id: message.request.id } as const;
    const { request } = message;
    if (request.kind === "get") this.get(request, replyTo, now);
    else if (request.kind === "write") this.write(request, replyTo, true, now);
    else if (request.kind === "scan") this.scan(request, replyTo, now);
    else this.count(request, replyTo);
  }

  forwardAnswered(from: MemberId, message: Forwarded): void {
    const pending = this.#forwards.get(message.id);
    if (pending === undefined || pending.member !== from) return;
    this.#forwards.delete(message.id);
    this.#reply(pending.replyTo, { ...message.reply, id: pending.replyTo.id });
  }

  // ---- whole slots

  scan(request: ScanRequest, replyTo: ReplyTo, now: Now): void {
    const { slots, store } = this.#context;
    const keys: string[] = [];
    let bytes = 0;
    let slotsDone = 0;
    let after = "";
    let heads = 0;
    for (const [index, slot] of request.slots.entries()) {
      const mayAnswer = request.isAlone ? this.#mayListAlone(slot, now) : slots.counts(slot);
      if (!mayAnswer || heads >= SCAN_HEADS_MAX) break;
      const cursor = index === 0 ? request.after : "";
      const found: string[] = [];
      for (const head of store.heads(slot)) {
        heads++;
        const isLiveNow = head.size !== undefined && !isExpired(head, now.wallMs);
        if (isLiveNow && head.key > cursor && head.key.startsWith(request.prefix)) found.push(head.key);
      }
      found.sort();
      let taken = 0;
      while (taken < found.length && keys.length < request.limit && bytes < SCAN_BYTES_MAX) {
        bytes += found[taken]!.length;
        keys.push(found[taken++]!);
      }
      if (taken < found.length) {
        // The limit may have been reached before this slot: then nothing of it has been taken.
        after = taken === 0 ? cursor : keys.at(-1)!;
        break;
      }
      slotsDone++;
    }
    if (slotsDone === 0 && after === "" && request.slots.length > 0) {
      this.#fail(replyTo, "ERR_NO_QUORUM", "This node cannot answer for the slot", { elsewhere: true });
    } else {
      this.#reply(replyTo, { kind: "scanned", id: replyTo.id, keys, slotsDone, after });
    }
  }

  count(request: CountRequest, replyTo: ReplyTo): void {
    let count = 0;
    for (const slot of request.slots) count += this.#context.store.count(slot);
    this.#reply(replyTo, { kind: "counted", id: replyTo.id, count });
  }

  clear(request: ClearRequest, replyTo: ReplyTo, now: Now): void {
    const obstacle = this.#state.writeObstacle(now) ?? (this.#state.hasLease(now) ? undefined : OUT_OF_TOUCH);
    if (this.#context.view.ring === undefined || obstacle !== undefined) {
      this.#fail(replyTo, "ERR_NO_QUORUM", obstacle ?? "This node is not in the ring yet", {
        elsewhere: true,
      });
      return;
    }
    if (this.#isOverloaded(replyTo)) return;
    this.#pending++;
    const deadlineMs = now.monoMs + this.#context.options.requestMsMax;
    new ClearTask(this.#context, request, deadlineMs, (isCleared, at) => {
      this.#pending--;
      if (isCleared && this.#state.hasLease(at)) this.#reply(replyTo, { kind: "cleared", id: replyTo.id });
      else
        this.#fail(replyTo, "ERR_TIMEOUT", "Not enough replicas cleared the slots in time", {
          elsewhere: true,
          applied: "maybe",
        });
    }).start(now);
  }

  /** Makes the replicas of a key agree, in the background. Past the bound the slot is marked for a comparison instead. */
  repair(key: string, now: Now): void {
    const slot = slotOfKey(key);
    if (this.#repairs.has(key)) return;
    if (this.#repairs.size >= REPAIRS_MAX) {
      this.#context.slots.doubt(slot);
      return;
    }
    this.#repairs.add(key);
    const deadlineMs = now.monoMs + this.#context.options.requestMsMax;
    // The majority may agree already: what is to be mended may be on the one that is slow to answer.
    const request = { key, slot, mode: "quorum", deadlineMs, patienceMs: REPAIR_PATIENCE_MS } as const;
    new ReadTask(this.#context, request, () => this.#repairs.delete(key)).start(now);
  }

  // ---- answers of other nodes, time, changes

  readReplied(from: MemberId, reply: ReadReplicaReply, now: Now): void {
    this.#tasks.byId(reply.id)?.readReplied?.(from, reply, now);
  }

  replicated(from: MemberId, reply: ReplicateReply, now: Now): void {
    this.#tasks.byId(reply.id)?.replicated?.(from, reply, now);
  }

  clearReplied(from: MemberId, reply: ClearReplicaReply, now: Now): void {
    this.#tasks.byId(reply.id)?.clearReplied?.(from, reply, now);
  }

  memberLost(member: MemberId, now: Now): void {
    this.#tasks.memberLost(member, now);
    for (const [id, pending] of this.#forwards) {
      if (pending.member === member) this.#abandonForward(id, pending.replyTo);
    }
  }

  /** The member is another process than before, and empty. */
  memberRestarted(member: MemberId, now: Now): void {
    this.#tasks.memberRestarted(member, now);
  }

  ringChanged(now: Now): void {
    this.#tasks.ringChanged(now);
  }

  tick(now: Now): void {
    this.#tasks.tick(now);
    // Insertion order is age order.
    for (const [id, pending] of this.#forwards) {
      if (now.monoMs - pending.atMs < this.#context.options.requestMsMax) break;
      this.#abandonForward(id, pending.replyTo);
    }
  }

  deadline(): number {
    return this.#tasks.deadline();
  }

  #abandonForward(id: number, replyTo: ReplyTo): void {
    this.#forwards.delete(id);
    const message = "The node that was to coordinate the write did not answer";
    this.#fail(replyTo, "ERR_TIMEOUT", message, { elsewhere: true, applied: "maybe" });
  }

  // ---- replies

  #isOverloaded(replyTo: ReplyTo): boolean {
    if (this.pending < this.#context.options.pendingMax) return false;
    this.#refuse(replyTo);
    return true;
  }

  /** One request too many. */
  #refuse(replyTo: ReplyTo): void {
    if (replyTo.type === "client") {
      const { client, id } = replyTo;
      this.#context.outbox.reply(client, { kind: "overloaded", ids: [id], retryAfterMs: RETRY_AFTER_MS });
      return;
    }
    const message = `This node has ${this.pending} requests under way`;
    this.#fail(replyTo, "ERR_OVERLOADED", message, { elsewhere: false });
  }

  #fail(
    replyTo: ReplyTo,
    code: ErrorCode,
    message: string,
    more: { readonly elsewhere: boolean; readonly applied?: "no" | "maybe" },
  ): void {
    const { elsewhere, applied = "no" } = more;
    this.#reply(replyTo, { kind: "failed", id: replyTo.id, code, message, applied, elsewhere });
  }

  #reply(replyTo: ReplyTo, reply: Parameters<TaskContext["outbox"]["reply"]>[1]): void {
    const { outbox } = this.#context;
    if (replyTo.type === "client") {
      outbox.reply(replyTo.client, reply);
    } else if (isForwardable(reply)) {
      outbox.peer(replyTo.member, { kind: "forwarded", id: replyTo.forwardId, reply });
    }
  }
}

const NO_BYTES = new Uint8Array(0);

/** Told from "nothing is there". */
export const NOT_ALONE = Symbol("not alone");

function isForwardable(reply: ClientReply): reply is Forwarded["reply"] {
  const { kind } = reply;
  return (
    kind === "got" || kind === "written" || kind === "failed" || kind === "scanned" || kind === "counted"
  );
}

const OUT_OF_TOUCH = "This node has not heard from half of the cluster of late";

/** Enough replicas have it; but they may have been evicted, with this node, since it was begun. */
const LEASE_OUTLIVED = Object.freeze({
  status: "failed",
  code: "ERR_TIMEOUT",
  message: OUT_OF_TOUCH,
  applied: "maybe",
  elsewhere: true,
} as const);

/** A write that must not be started any more: its caller has moved on. */
const TOO_LATE = Object.freeze({
  status: "failed",
  code: "ERR_TIMEOUT",
  message: "The write came to its turn after its caller stopped waiting for it",
  applied: "no",
  elsewhere: true,
} as const);
