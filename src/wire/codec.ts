// Frames: the bytes of one WebSocket message, which are all messages of one turn. `[FRAME_VERSION, group, group, ...]` in
// msgpack, where a group is one message or a run of one frequent kind as columns.
//
// Encoding trusts its input. Decoding trusts nothing and never throws: first the header walk (`scan.ts`), then msgpackr, then
// every field's type and range and whether that kind of message may come from there. Value bytes are not copied on the way in.

import { Packr, Unpackr } from "msgpackr";
import type { Message } from "../core/messages.ts";
import { columnsOf } from "./columns.ts";
import { check, InvalidField } from "./fields.ts";
import { type ScanLimits, scanFrame } from "./scan.ts";
import { allowedFrom, kindOf, packMessage, parseMessage, type Source } from "./schema.ts";

/** The first item of every frame: its layout. Another one is refused. */
export const FRAME_VERSION = 1;

// No records, no shared structures, no extension types, nothing kept from one frame to the next. Integers above 2^32 travel as
// doubles, which hold all safe integers; 64-bit integers, which other encoders may send, are read as numbers too.
const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false, int64AsType: "number" });

/** The result of {@link decodeFrame}; `reason` names what was wrong, and no value. */
export type Decoded =
  | { readonly ok: true; readonly messages: readonly Message[] }
  | { readonly ok: false; readonly reason: string };

/** Encodes the messages, in order, as one frame. The result is the caller's; byte arrays of the messages are copied into it. */
export function encodeFrame(messages: readonly Message[]): Uint8Array {
  const frame: unknown[] = [FRAME_VERSION];
  for (let start = 0; start < messages.length; ) {
    const end = endOfRun(messages, start);
    const first = messages[start]!;
    const columns = end - start > 1 ? columnsOf(first.kind) : undefined;
    frame.push(columns === undefined ? packMessage(first) : columns.pack(messages.slice(start, end)));
    start = end;
  }
  return packValue(frame);
}

/** The index after the run of messages that can share columns with the one at `start`; `start + 1` when none can. */
function endOfRun(messages: readonly Message[], start: number): number {
  const { kind } = messages[start]!;
  const columns = columnsOf(kind);
  let end = start + 1;
  if (columns === undefined || !columns.takes(messages[start]!)) return end;
  while (end < messages.length && messages[end]!.kind === kind && columns.takes(messages[end]!)) end++;
  return end;
}

/**
 * Decodes a frame that came from `source`. Whatever the bytes, it returns: either messages whose fields all have the type and
 * range that their interfaces state, or the reason why not. Byte arrays in them are views of `frame`.
 */
export function decodeFrame(frame: Uint8Array, source: Source, limits?: Partial<ScanLimits>): Decoded {
  const unpacked = unpackValue(frame, limits);
  if (!unpacked.ok) return unpacked;
  try {
    return { ok: true, messages: parseFrame(unpacked.value, allowedFrom(source)) };
  } catch (error) {
    if (error instanceof InvalidField) return { ok: false, reason: error.message };
    throw error;
  }
}

/** @throws {InvalidField} */
function parseFrame(frame: unknown, allowed: ReadonlySet<string>): Message[] {
  check(Array.isArray(frame), "a frame");
  check(frame[0] === FRAME_VERSION, `a frame of version ${FRAME_VERSION}`);
  const messages: Message[] = [];
  for (let index = 1; index < frame.length; index++) {
    const group: unknown = frame[index];
    check(Array.isArray(group), "a message");
    const code: unknown = group[0];
    check(typeof code === "number", "the number of a kind");
    if (code > 0) {
      messages.push(parseMessage(group, allowed));
      continue;
    }
    const kind = kindOf(-code);
    const columns = kind === undefined ? undefined : columnsOf(kind);
    check(kind !== undefined && columns !== undefined, "a kind that has columns");
    if (!allowed.has(kind)) throw new InvalidField(`no ${kind} here`);
    for (const message of columns.parse(group)) messages.push(message);
  }
  return messages;
}

/** One value in msgpack. The result is the caller's. */
export function packValue(value: unknown): Uint8Array {
  return plain(packr.pack(value));
}

/** The same bytes as no subclass: Node's Buffer has a `slice` that does not copy, and it passes itself on to its parts. */
function plain(bytes: Uint8Array): Uint8Array {
  if (bytes.constructor === Uint8Array) return bytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The value in `bytes` after the header walk; arrays, scalars, text and views of `bytes` only. Never throws. */
export function unpackValue(
  bytes: Uint8Array,
  limits?: Partial<ScanLimits>,
): { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly reason: string } {
  const reason = scanFrame(bytes, limits);
  if (reason !== undefined) return { ok: false, reason };
  try {
    return { ok: true, value: unpackr.unpack(plain(bytes)) };
  } catch {
    // Nothing that passes the walk is known to get here.
    return { ok: false, reason: "not msgpack" };
  }
}
