// SETBIT and GETBIT: strings as arrays of bits, the first bit of a byte being its highest; and LCS, what two strings have in common.

import type { GetReply } from "../../core/messages.ts";
import { ask, type Call } from "./call.ts";
import type { Handler } from "./context.ts";
import { CommandError, errorOf, NOT_AN_INTEGER, SYNTAX_ERROR } from "./errors.ts";
import { parseInt64 } from "./numbers.ts";
import { ErrorReply, MapReply, type Reply } from "./reply.ts";
import { edit } from "./strings.ts";
import { formatOf, keyOf, stringOf } from "./values.ts";

const NO_BYTES = Buffer.alloc(0);

/** An offset within the largest value. */
function bitOffset(call: Call, bytesMax: number): number {
  const offset = parseInt64(call.word(2));
  if (offset === undefined || offset < 0n || offset >= 8n * BigInt(bytesMax))
    throw new CommandError("ERR bit offset is not an integer or out of range");
  return Number(offset);
}

function bitAt(value: Uint8Array, offset: number): number {
  return ((value[offset >> 3] ?? 0) >> (7 - (offset & 7))) & 1;
}

const getbit: Handler = (call, { services }) => {
  const key = call.key(1);
  const offset = bitOffset(call, services.valueBytesMax);
  return call.get(key, "value", (reply) => bitAt(stringOf(reply) ?? NO_BYTES, offset));
};

const setbit: Handler = (call, context) => {
  const key = call.key(1);
  const offset = bitOffset(call, context.services.valueBytesMax);
  const bit = call.word(3);
  if (bit !== "0" && bit !== "1") throw new CommandError("ERR bit is not an integer or out of range");
  return edit(call, context, key, (held) => {
    const old = held?.value ?? NO_BYTES;
    const value = Buffer.alloc(Math.max(old.length, (offset >> 3) + 1));
    value.set(old);
    const mask = 1 << (7 - (offset & 7));
    value[offset >> 3] = bit === "1" ? value[offset >> 3]! | mask : value[offset >> 3]! & ~mask;
    return {
      reply: bitAt(old, offset),
      leave: { value, format: formatOf(value), expiresAt: held?.expiresAt ?? 0 },
    };
  });
};

// ---- LCS

/** Cells of the table: with more, the node would stand still for everybody. 4 million take some 20 ms. */
const CELLS_MAX = 4_000_000;

interface LcsOptions {
  wantsLength: boolean;
  wantsIndexes: boolean;
  wantsLengths: boolean;
  lengthMin: number;
}

/** A stretch that both have: first and last index in each. */
interface Match {
  readonly a: readonly [number, number];
  readonly b: readonly [number, number];
}

function lcsOptions(call: Call): LcsOptions {
  const options: LcsOptions = { wantsLength: false, wantsIndexes: false, wantsLengths: false, lengthMin: 0 };
  for (let index = 3; index < call.args.length; index++) {
    const word = call.word(index).toLowerCase();
    if (word === "len") options.wantsLength = true;
    else if (word === "idx") options.wantsIndexes = true;
    else if (word === "withmatchlen") options.wantsLengths = true;
    else if (word === "minmatchlen" && index + 1 < call.args.length) {
      const lengthMin = parseInt64(call.word(++index));
      if (lengthMin === undefined) throw new CommandError(NOT_AN_INTEGER);
      options.lengthMin = Math.max(0, Number(lengthMin));
    } else throw new CommandError(SYNTAX_ERROR);
  }
  if (options.wantsLength && options.wantsIndexes)
    throw new CommandError("ERR If you want both the length and indexes, please just use IDX.");
  return options;
}

const lcs: Handler = async (call) => {
  const keys = [call.key(1), keyOf(call.args[2]!)];
  const options = lcsOptions(call);
  const answers = await Promise.all(
    keys.map((key) => ask((waiter) => call.keyspace.get(key, "value", waiter))),
  );
  const failure = answers.find((answer) => answer.kind === "failed");
  if (failure?.kind === "failed") return errorOf(failure, false);
  const [a = NO_BYTES, b = NO_BYTES] = answers.map((answer) => lcsOperand(answer as GetReply));
  if ((a.length + 1) * (b.length + 1) > CELLS_MAX)
    return new ErrorReply(
      `ERR the strings are too long for LCS: their lengths' product is over ${CELLS_MAX}`,
    );
  return lcsReply(a, b, options);
};

function lcsOperand(answer: GetReply): Uint8Array {
  try {
    return stringOf(answer) ?? NO_BYTES;
  } catch {
    throw new CommandError("ERR The specified keys must contain string values");
  }
}

function lcsReply(a: Uint8Array, b: Uint8Array, options: LcsOptions): Reply {
  const table = lcsTable(a, b);
  const length = table.at(-1) ?? 0;
  if (options.wantsLength) return length;
  const { text, matches } = traceBack(a, b, table);
  if (!options.wantsIndexes) return text;
  const shown = matches.filter(({ a: [first, last] }) => last - first + 1 >= options.lengthMin);
  const replies = shown.map((match): Reply => {
    const matchLength = match.a[1] - match.a[0] + 1;
    return options.wantsLengths ? [match.a, match.b, matchLength] : [match.a, match.b];
  });
  return new MapReply(["matches", replies, "len", length]);
}

/** Row by row: the longest common subsequence of the first i bytes of `a` and the first j of `b`. */
function lcsTable(a: Uint8Array, b: Uint8Array): Uint32Array {
  const width = b.length + 1;
  const table = new Uint32Array((a.length + 1) * width);
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const at = i * width + j;
      table[at] =
        a[i - 1] === b[j - 1] ? table[at - width - 1]! + 1 : Math.max(table[at - width]!, table[at - 1]!);
    }
  }
  return table;
}

/** From the ends to the beginnings; the last match comes first, as Redis has it. */
function traceBack(
  a: Uint8Array,
  b: Uint8Array,
  table: Uint32Array,
): { readonly text: Uint8Array; readonly matches: readonly Match[] } {
  const width = b.length + 1;
  const text = Buffer.alloc(table.at(-1) ?? 0);
  const matches: Match[] = [];
  let open: { a: [number, number]; b: [number, number] } | undefined;
  let [i, j, left] = [a.length, b.length, text.length];
  while (i > 0 && j > 0) {
    if (a[i - 1] === b[j - 1]) {
      text[--left] = a[i - 1]!;
      if (open !== undefined && open.a[0] === i && open.b[0] === j) {
        open.a[0]--;
        open.b[0]--;
      } else {
        open = { a: [i - 1, i - 1], b: [j - 1, j - 1] };
        matches.push(open);
      }
      i--;
      j--;
    } else if (table[(i - 1) * width + j]! > table[i * width + j - 1]!) i--;
    else j--;
  }
  return { text, matches };
}

/** By name. */
export const BIT_COMMANDS: Readonly<Record<string, Handler>> = { getbit, setbit, lcs };
