// What the packed columns of `columns.ts` are made of: the ranges of fields, and the columns that several kinds of message share. Writing takes
// a run of messages and one of their fields; reading gives one array per column, which the next frame overwrites.

import type { RingId } from "../base/ids.ts";
import type { Entry, ValueFormat } from "../core/messages.ts";
import { check } from "./fields.ts";
import { FRAME_ITEMS_MAX, KEY_BYTES_MAX } from "./limits.ts";
import type { NumberRange, PackedReader, PackedWriter, Scratch } from "./packed.ts";

/** How runs of one kind travel. */
export interface Columns<M> {
  /** Whether the message can be part of a run. */
  takes(message: M): boolean;
  /** Writes the columns of at least one message. */
  write(run: readonly M[], out: PackedWriter): void;
  /** Reads that many messages. @throws {InvalidField} */
  read(bytes: PackedReader, count: number): M[];
}

// ---- ranges, in the words of the single fields

export const UINT32: NumberRange = { min: 0, max: 0xffff_ffff, expected: "an integer from 0 to 2^32 - 1" };
export const COUNT: NumberRange = {
  min: 0,
  max: Number.MAX_SAFE_INTEGER,
  expected: "an integer from 0 to 2^53 - 1",
};
export const POSITIVE: NumberRange = {
  min: 1,
  max: Number.MAX_SAFE_INTEGER,
  expected: "an integer from 1 to 2^53 - 1",
};
export const MILLIS: NumberRange = { min: 0, max: Number.MAX_SAFE_INTEGER, expected: "milliseconds" };
export const FINITE: NumberRange = {
  min: -Number.MAX_VALUE,
  max: Number.MAX_VALUE,
  expected: "a finite number",
};
const KEY: NumberRange = { min: 1, max: KEY_BYTES_MAX, expected: `text of 1 to ${KEY_BYTES_MAX} bytes` };
const RING_ID: NumberRange = { min: 16, max: 16, expected: "a ring id" };
export const BYTES: NumberRange = { min: 0, max: 0xffff_ffff, expected: "bytes" };
export const BOOL = below(2);

export function below(count: number): NumberRange {
  return { min: 0, max: count - 1, expected: "a known constant" };
}

/** A closed set as numbers from 0. The record must name every member. */
export function choice<T extends string>(numbers: Readonly<Record<T, number>>) {
  const values: T[] = [];
  for (const [value, number] of Object.entries(numbers) as [T, number][]) values[number] = value;
  return { numbers, values, range: below(values.length) };
}

export const FORMAT = below(4);

// ---- reading

/** Numbers being read, one array per column; meaningless between two groups. */
class Room {
  readonly #columns: Scratch[] = [];
  #next = 0;

  reset(): void {
    this.#next = 0;
  }

  take(count: number): Scratch {
    const index = this.#next++;
    const known = this.#columns[index];
    if (known !== undefined && known.length >= count) return known;
    const fresh = new Float64Array(Math.max(64, Math.min(FRAME_ITEMS_MAX, 2 * count)));
    this.#columns[index] = fresh;
    return fresh;
  }
}

export const room = new Room();

export function readIntegers(bytes: PackedReader, count: number, range: NumberRange): Scratch {
  return bytes.integers(room.take(count), count, range);
}

export function readMillis(bytes: PackedReader, count: number): Scratch {
  return bytes.numbers(room.take(count), count, MILLIS);
}

export function readKeys(bytes: PackedReader, count: number): string[] {
  return bytes.texts(count, room.take(count), KEY);
}

/** A number that fits becomes a small integer of the engine, which needs no memory of its own. */
export function small(value: number): number {
  const integer = value | 0;
  return integer === value ? integer : value;
}

// ---- shared columns

export function keysOf(run: readonly { readonly key: string }[]): string[] {
  const keys = new Array<string>(run.length);
  for (let index = 0; index < run.length; index++) keys[index] = run[index]!.key;
  return keys;
}

export function writeIds(run: readonly { readonly id: number }[], out: PackedWriter): void {
  const scratch = out.scratch(run.length);
  for (let index = 0; index < run.length; index++) scratch[index] = run[index]!.id;
  out.numbers(scratch, run.length, 1);
}

export function writeNotAfters(run: readonly { readonly notAfter: number }[], out: PackedWriter): void {
  const scratch = out.scratch(run.length);
  for (let index = 0; index < run.length; index++) scratch[index] = run[index]!.notAfter;
  out.numbers(scratch, run.length);
}

/** One field of every message, as a number. */
export function write<M>(run: readonly M[], out: PackedWriter, read: (message: M) => number): void {
  const scratch = out.scratch(run.length);
  for (let index = 0; index < run.length; index++) scratch[index] = read(run[index]!);
  out.numbers(scratch, run.length);
}

/** Ring ids: mostly one for the whole run, and then it is there once. */
export function writeRingIds(run: readonly { readonly ringId: RingId }[], out: PackedWriter): void {
  const first = run[0]!.ringId;
  const isOne = run.every(({ ringId }) => ringId === first);
  out.byte(isOne ? 1 : 0);
  out.texts(isOne ? [first] : run.map(({ ringId }) => ringId));
}

const RING_ID_PATTERN = /^[0-9a-f]{16}$/;

export function readRingIds(bytes: PackedReader, count: number): readonly RingId[] {
  const mode = bytes.byte();
  check(mode <= 1, "a mode of ring ids");
  const texts = bytes.texts(mode === 1 ? 1 : count, room.take(count), RING_ID);
  for (const text of texts) check(RING_ID_PATTERN.test(text), "a ring id");
  return (mode === 1 ? new Array<string>(count).fill(texts[0]!) : texts) as RingId[];
}

/** The ten columns of entries; a tombstone is an entry whose value is not there. */
export function writeEntries(entries: readonly Entry[], out: PackedWriter): void {
  const count = entries.length;
  out.texts(keysOf(entries));
  let scratch = out.scratch(count);
  for (let index = 0; index < count; index++) scratch[index] = entries[index]!.version;
  out.numbers(scratch, count);
  scratch = out.scratch(count);
  for (let index = 0; index < count; index++) scratch[index] = entries[index]!.origin;
  out.numbers(scratch, count);
  scratch = out.scratch(count);
  for (let index = 0; index < count; index++) scratch[index] = entries[index]!.expiresAt;
  out.numbers(scratch, count);
  scratch = out.scratch(count);
  for (let index = 0; index < count; index++) scratch[index] = entries[index]!.format;
  out.numbers(scratch, count);
  scratch = out.scratch(count);
  for (let index = 0; index < count; index++) scratch[index] = entries[index]!.value === undefined ? 0 : 1;
  out.numbers(scratch, count);
  const values = new Array<Uint8Array>(count);
  for (let index = 0; index < count; index++) values[index] = entries[index]!.value ?? NO_BYTES;
  out.bytes(values);
  scratch = out.scratch(count);
  for (let index = 0; index < count; index++) scratch[index] = entries[index]!.opClient;
  out.numbers(scratch, count);
  scratch = out.scratch(count);
  for (let index = 0; index < count; index++) scratch[index] = entries[index]!.opSeq;
  out.numbers(scratch, count);
  scratch = out.scratch(count);
  for (let index = 0; index < count; index++) scratch[index] = entries[index]!.opAttempt;
  out.numbers(scratch, count);
}

const NO_BYTES = new Uint8Array(0);

export function readEntries(bytes: PackedReader, count: number): Entry[] {
  const keys = readKeys(bytes, count);
  const versions = readIntegers(bytes, count, POSITIVE);
  const origins = readIntegers(bytes, count, UINT32);
  const expiries = readMillis(bytes, count);
  const formats = readIntegers(bytes, count, FORMAT);
  const haveValues = readIntegers(bytes, count, BOOL);
  const values = bytes.bytes(count, room.take(count), BYTES);
  const opClients = readIntegers(bytes, count, COUNT);
  const opSeqs = readIntegers(bytes, count, COUNT);
  const opAttempts = readIntegers(bytes, count, UINT32);
  const entries = new Array<Entry>(count);
  for (let index = 0; index < count; index++) {
    const value = values[index]!;
    check(haveValues[index] === 1 || value.length === 0, "no bytes of a value that is not there");
    entries[index] = {
      key: keys[index]!,
      version: versions[index]!,
      origin: origins[index]! >>> 0,
      expiresAt: small(expiries[index]!),
      format: (formats[index]! | 0) as ValueFormat,
      value: haveValues[index] === 1 ? value : undefined,
      opClient: small(opClients[index]!),
      opSeq: small(opSeqs[index]!),
      opAttempt: opAttempts[index]! >>> 0,
    };
  }
  return entries;
}
