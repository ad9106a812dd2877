// Is a history of one register linearizable? The search of Wing and Gong with Lowe's memo, as in porcupine: walk the calls
// and returns in time order; try to let a call take effect now; when a return is met whose call has not taken effect, go
// back. States already met with the same set of finished calls are not entered again.
//
// An operation of unknown outcome has no return: it may take effect at any time after its call, or never. A set of unknown
// outcome whose value nobody read is left out: if a history has a valid order with it, it has one without.

/** One operation on a register. `state` numbers: 0 is absent, others stand for values. */
export interface RegisterOperation {
  readonly f: "read" | "write";
  /** What was read, or what was written (0 for a delete). */
  readonly state: number;
  readonly callMs: number;
  /** Infinity when the outcome is unknown. */
  readonly returnMs: number;
}

export type Verdict = "linearizable" | "violated" | "unknown";

/** Steps after which the search gives up with "unknown". */
const STEPS_MAX = 2_000_000;

interface Node {
  /** Index of the operation. */
  readonly operation: number;
  readonly isCall: boolean;
  /** The return that belongs to a call. */
  match: Node | undefined;
  previous: Node | undefined;
  next: Node | undefined;
}

/** Judges operations on one key, starting from `initial` (0: absent). */
export function checkRegister(operations: readonly RegisterOperation[], initial = 0): Verdict {
  const relevant = withoutUnreadUnknowns(operations);
  const head = buildList(relevant);
  const done = new Uint32Array(Math.ceil(relevant.length / 32));
  const seen = new Set<string>();
  const undo: { node: Node; state: number }[] = [];
  let state = initial;
  let node = head.next;
  let pendingReturns = relevant.filter(({ returnMs }) => returnMs !== Number.POSITIVE_INFINITY).length;
  for (let steps = 0; steps < STEPS_MAX; steps++) {
    if (pendingReturns === 0) return "linearizable";
    if (node === undefined) return "violated";
    if (node.isCall) {
      const { f, state: value } = relevant[node.operation]!;
      const isLegal = f === "write" || value === state;
      const nextState = f === "write" ? value : state;
      if (isLegal && remember(seen, done, node.operation, nextState)) {
        undo.push({ node, state });
        state = nextState;
        done[node.operation >>> 5]! |= 1 << (node.operation & 31);
        if (relevant[node.operation]!.returnMs !== Number.POSITIVE_INFINITY) pendingReturns--;
        lift(node);
        node = head.next;
      } else {
        node = node.next;
      }
      continue;
    }
    // A return whose call has not taken effect: something before must be undone.
    const last = undo.pop();
    if (last === undefined) return "violated";
    state = last.state;
    const { operation } = last.node;
    done[operation >>> 5]! &= ~(1 << (operation & 31));
    if (relevant[operation]!.returnMs !== Number.POSITIVE_INFINITY) pendingReturns++;
    unlift(last.node);
    node = last.node.next;
  }
  return "unknown";
}

function withoutUnreadUnknowns(operations: readonly RegisterOperation[]): readonly RegisterOperation[] {
  const read = new Set<number>([0]);
  for (const { f, state } of operations) if (f === "read") read.add(state);
  return operations.filter(({ f, state, returnMs }) => {
    if (returnMs !== Number.POSITIVE_INFINITY) return true;
    return f === "write" && read.has(state);
  });
}

/** A doubly linked list of calls and returns in time order, behind a head. At one instant, calls come before returns. */
function buildList(operations: readonly RegisterOperation[]): Node {
  const events: { atMs: number; node: Node }[] = [];
  for (const [operation, { callMs, returnMs }] of operations.entries()) {
    const call = newNode(operation, true);
    events.push({ atMs: callMs, node: call });
    if (returnMs === Number.POSITIVE_INFINITY) continue;
    const end = newNode(operation, false);
    call.match = end;
    events.push({ atMs: returnMs, node: end });
  }
  events.sort(
    (a, b) =>
      a.atMs - b.atMs || Number(b.node.isCall) - Number(a.node.isCall) || a.node.operation - b.node.operation,
  );
  const head = newNode(-1, true);
  let last = head;
  for (const { node } of events) {
    last.next = node;
    node.previous = last;
    last = node;
  }
  return head;
}

function newNode(operation: number, isCall: boolean): Node {
  return { operation, isCall, match: undefined, previous: undefined, next: undefined };
}

/** Whether the set of done operations with `operation` added, and the state, are new. */
function remember(seen: Set<string>, done: Uint32Array, operation: number, state: number): boolean {
  const word = operation >>> 5;
  const bit = 1 << (operation & 31);
  done[word]! |= bit;
  const key = `${done.join(",")}|${state}`;
  done[word]! &= ~bit;
  if (seen.has(key)) return false;
  seen.add(key);
  return true;
}

/** Takes a call and its return out of the list; their own links stay, for {@link unlift}. */
function lift(call: Node): void {
  call.previous!.next = call.next;
  if (call.next !== undefined) call.next.previous = call.previous;
  const end = call.match;
  if (end === undefined) return;
  end.previous!.next = end.next;
  if (end.next !== undefined) end.next.previous = end.previous;
}

function unlift(call: Node): void {
  const end = call.match;
  if (end !== undefined) {
    end.previous!.next = end;
    if (end.next !== undefined) end.next.previous = end;
  }
  call.previous!.next = call;
  if (call.next !== undefined) call.next.previous = call;
}
