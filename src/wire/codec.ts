// Frames: the bytes of one WebSocket message, which are all messages of one turn. `[FRAME_VERSION, group, group, ...]` in
// msgpack, where a group is one message, or a run of one frequent kind as packed columns.
//
// Encoding trusts its input. Decoding trusts nothing and never throws: first the header walk (`scan.ts`), then msgpackr, then
// every field's type and range and whether that kind of message may come from there. Value bytes are not copied on the way in.

import { Packr, Unpackr } from "msgpackr";
import type { Message } from "../core/messages.ts";
import { columnsOf, readRun, writeRun } from "./columns.ts";
import { check, InvalidField } from "./fields.ts";
import { FRAME_ITEMS_MAX } from "./limits.ts";
import { PackedReader, PackedWriter } from "./packed.ts";
import { type ScanLimits, scanFrame } from "./scan.ts";
import { allowedFrom, codeOf, kindOf, packMessage, parseMessage, type Source } from "./schema.ts";

/** The first item of every frame: its layout. Another one is refused. */
export const FRAME_VERSION = 1;

// No records, no shared structures, no extension types, nothing kept from one frame to the next. Integers above 2^32 travel as
// doubles, which hold all safe integers; 64-bit integers, which other encoders may send, are read as numbers too.
const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false, int64AsType: "number" });
const writer = new PackedWriter();

// The first bytes of values in msgpack, for the parts that are written and read here.
const ARRAY_32 = 0xdd;
const ARRAY_OF_2 = 0x92;
const BYTES_32 = 0xc6;
/** Before the groups: the array's header, and the version. */
const HEAD_BYTES = 6;
/** Before the bytes of a run: the group's header, its kind, and the bytes' header. */
const RUN_HEAD_BYTES = 7;

/** The result of {@link decodeFrame}; `reason` names what was wrong, and no value. */
export type Decoded =
  | { readonly ok: true; readonly messages: readonly Message[] }
  | { readonly ok: false; readonly reason: string };

/** Encodes the messages, in order, as one frame. The result is the caller's; byte arrays of the messages are copied into it. */
export function encodeFrame(messages: readonly Message[]): Uint8Array {
  writer.begin();
  writer.byte(ARRAY_32);
  const countAt = writer.reserveUint32();
  writer.byte(FRAME_VERSION);
  let groups = 0;
  for (let start = 0; start < messages.length; groups++) {
    const first = messages[start]!;
    const columns = columnsOf(first.kind);
    if (columns === undefined || !columns.takes(first)) {
      writer.raw(packr.pack(packMessage(first)));
      start++;
      continue;
    }
    let end = start + 1;
    while (end < messages.length && messages[end]!.kind === first.kind && columns.takes(messages[end]!))
      end++;
    writer.byte(ARRAY_OF_2);
    // A small negative integer is its own byte.
    writer.byte(0x100 - codeOf(first.kind));
    writer.byte(BYTES_32);
    const lengthAt = writer.reserveUint32();
    writeRun(columns, end - start === messages.length ? messages : messages.slice(start, end), writer);
    writer.patchUint32(lengthAt, writer.length - lengthAt - 4);
    start = end;
  }
  writer.patchUint32(countAt, groups + 1);
  return writer.finish();
}

/** Says that nobody holds the frame of {@link encodeFrame} any more: its memory may be used again. Need not be said. */
export function releaseFrame(frame: Uint8Array): void {
  writer.release(frame);
}

/**
 * Decodes a frame that came from `source`. Whatever the bytes, it returns: either messages whose fields all have the type and
 * range that their interfaces state, or the reason why not. Byte arrays in them are views of `frame`.
 */
export function decodeFrame(frame: Uint8Array, source: Source, limits?: Partial<ScanLimits>): Decoded {
  try {
    const allowed = allowedFrom(source);
    const run = onlyRun(frame);
    if (run !== undefined) {
      return { ok: true, messages: parseRun(run.code, run.bytes, { allowed, countMax: FRAME_ITEMS_MAX }) };
    }
    const unpacked = unpackValue(frame, limits);
    return unpacked.ok ? { ok: true, messages: parseFrame(unpacked.value, allowed) } : unpacked;
  } catch (error) {
    if (error instanceof InvalidField) return { ok: false, reason: error.message };
    throw error;
  }
}

/** The run of a frame that is nothing but one run, as most are: there is nothing to walk over. */
function onlyRun(frame: Uint8Array): { readonly code: number; readonly bytes: Uint8Array } | undefined {
  const start = HEAD_BYTES + RUN_HEAD_BYTES;
  if (frame.length < start || frame[0] !== ARRAY_32 || readUint32(frame, 1) !== 2) return undefined;
  if (frame[5] !== FRAME_VERSION || frame[6] !== ARRAY_OF_2 || frame[7]! < 0xe0) return undefined;
  if (frame[8] !== BYTES_32 || readUint32(frame, 9) !== frame.length - start) return undefined;
  const bytes = new Uint8Array(frame.buffer, frame.byteOffset + start, frame.length - start);
  return { code: frame[7]! - 0x100, bytes };
}

function readUint32(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 0x100_0000 + (bytes[at + 1]! << 16) + (bytes[at + 2]! << 8) + bytes[at + 3]!;
}

/** @throws {InvalidField} */
function parseFrame(frame: unknown, allowed: ReadonlySet<string>): readonly Message[] {
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
    check(group.length === 2 && group[1] instanceof Uint8Array, "the bytes of columns");
    const countMax = FRAME_ITEMS_MAX - messages.length;
    for (const message of parseRun(code, group[1], { allowed, countMax })) messages.push(message);
  }
  return messages;
}

/** @throws {InvalidField} */
function parseRun(
  code: number,
  bytes: Uint8Array,
  { allowed, countMax }: { readonly allowed: ReadonlySet<string>; readonly countMax: number },
): Message[] {
  const kind = kindOf(-code);
  const columns = kind === undefined ? undefined : columnsOf(kind);
  check(kind !== undefined && columns !== undefined, "a kind that has columns");
  if (!allowed.has(kind)) throw new InvalidField(`no ${kind} here`);
  return readRun(columns, new PackedReader(bytes), countMax);
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
