// Values as users have them, and as bytes. Text, bytes and plain numbers travel as they are, so that other clients and `increment` can
// read them; everything else is msgpack. Nodes never look inside.
//
// What msgpack cannot tell apart goes as an extension: a Map (objects are msgpack maps), a negative zero, a text that begins with a
// byte order mark. Values that hold one are rebuilt before they are packed; the others are packed as they are.

import { addExtension, Packr, Unpackr } from "msgpackr";
import { CacheError } from "../base/errors.ts";
import { formatBytes } from "../base/units.ts";
import { VALUE_FORMAT, type ValueFormat } from "../core/messages.ts";
import { checkValue, isAwkward, isContainer, isWellFormed, jsonOf } from "./value-check.ts";
import { scanValue } from "./value-scan.ts";

/** A value on its way. */
export interface EncodedValue {
  readonly format: ValueFormat;
  readonly bytes: Uint8Array;
}

/** Stand-ins for what is packed as an extension. Private, so that no value of a user can be one. */
class PackedMap {
  readonly entries: readonly unknown[];
  constructor(entries: readonly unknown[]) {
    this.entries = entries;
  }
}
class PackedText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}
class PackedNegativeZero {}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// Numbers of `value-scan.ts`. They are registered for the whole process, which is harmless: only this file packs the classes, and
// other decoders of this project refuse all extensions.
addExtension({
  Class: PackedMap,
  type: 0x6d,
  write: (map: PackedMap) => map.entries,
  read: unpackMap,
});
addExtension({ Class: PackedNegativeZero, type: 0x6e, pack: () => Uint8Array.of(0), unpack: () => -0 });
addExtension({
  Class: PackedText,
  type: 0x6f,
  pack: ({ text }: PackedText) => encoder.encode(text),
  unpack: (bytes: Uint8Array) => decoder.decode(bytes),
});

const packr = new Packr({ useRecords: false, moreTypes: true, variableMapSize: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, copyBuffers: true });

const DECIMAL = /^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/;

/**
 * The bytes of a value: a copy, so that the caller may change its own at once.
 *
 * @param bytesMax Largest size the cluster takes.
 * @throws {CacheError} ERR_INVALID_ARGUMENT for what cannot be stored, naming its place; ERR_TOO_LARGE beyond `bytesMax`
 */
export function encodeValue(value: unknown, bytesMax: number): EncodedValue {
  const encoded = encode(value, bytesMax);
  if (encoded.bytes.length > bytesMax) throw tooLarge(encoded.bytes.length, bytesMax);
  return encoded;
}

function encode(value: unknown, bytesMax: number): EncodedValue {
  if (typeof value === "string" && isWellFormed(value)) {
    // Before a copy is made: text takes at least a byte per unit.
    if (value.length > bytesMax) throw tooLarge(value.length, bytesMax);
    return { format: VALUE_FORMAT.text, bytes: encoder.encode(value) };
  }
  if (value instanceof Uint8Array) {
    if (value.length > bytesMax) throw tooLarge(value.length, bytesMax);
    return { format: VALUE_FORMAT.bytes, bytes: new Uint8Array(value) };
  }
  if (typeof value === "number" && Number.isFinite(value) && !Object.is(value, -0)) {
    return { format: VALUE_FORMAT.number, bytes: encoder.encode(String(value)) };
  }
  if (value === undefined) {
    throw new CacheError(
      "ERR_INVALID_ARGUMENT",
      "Value must not be undefined, which is how get says that there is none (null can be stored)",
      { details: { argument: "value" }, applied: "no" },
    );
  }
  return { format: VALUE_FORMAT.msgpack, bytes: pack(value) };
}

/** Getters, proxies and `toJSON` are code of the caller's: what they throw is a bad argument like any other. */
function pack(value: unknown): Uint8Array {
  try {
    return packr.pack(checkValue(value) ? rebuild(value) : value);
  } catch (error) {
    if (error instanceof CacheError) throw error;
    const reason = (error instanceof Error ? error.message : String(error)).slice(0, 100);
    throw new CacheError("ERR_INVALID_ARGUMENT", `Value cannot be stored: reading it failed (${reason})`, {
      details: { argument: "value" },
      applied: "no",
      cause: error,
    });
  }
}

/**
 * The value of stored bytes. Nothing in the result shares memory with `bytes`.
 *
 * @throws {CacheError} ERR_PROTOCOL when the bytes are no value of the format: whoever wrote them was no client of this kind
 */
export function decodeValue(format: ValueFormat, bytes: Uint8Array): unknown {
  switch (format) {
    case VALUE_FORMAT.bytes:
      return new Uint8Array(bytes);
    case VALUE_FORMAT.text:
      return decodeText(bytes);
    case VALUE_FORMAT.number: {
      const text = decodeText(bytes);
      const value = DECIMAL.test(text) ? Number(text) : Number.NaN;
      if (!Number.isFinite(value)) throw undecodable("it is not a decimal number");
      return value;
    }
    default:
      return unpack(bytes);
  }
}

function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw undecodable("it is not valid UTF-8", error);
  }
}

function unpack(bytes: Uint8Array): unknown {
  const problem = scanValue(bytes);
  if (problem !== undefined) throw undecodable(problem);
  try {
    // A plain view: of a Buffer, msgpackr would make Buffers.
    return unpackr.unpack(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    throw undecodable("its contents contradict their types", error);
  }
}

function unpackMap(entries: unknown): Map<unknown, unknown> {
  if (!Array.isArray(entries) || entries.length % 2 !== 0) throw new TypeError("A Map needs pairs");
  const map = new Map<unknown, unknown>();
  for (let index = 0; index < entries.length; index += 2) map.set(entries[index], entries[index + 1]);
  return map;
}

/** A copy with stand-ins in it. Recursion is bounded: the value has passed {@link checkValue}. */
function rebuild(value: unknown): unknown {
  const subject = jsonOf(value);
  if (subject instanceof Map) return new PackedMap([...subject].flat().map(rebuild));
  if (isAwkward(subject)) {
    return typeof subject === "string" ? new PackedText(subject) : new PackedNegativeZero();
  }
  if (!isContainer(subject)) return subject;
  if (Array.isArray(subject)) return Array.from(subject, rebuild);
  if (subject instanceof Set) return new Set([...subject].map(rebuild));
  if (subject instanceof Error) return subject.cause === undefined ? subject : withCauseRebuilt(subject);
  return Object.fromEntries(Object.entries(subject).map(([key, part]) => [key, rebuild(part)]));
}

function withCauseRebuilt({ name, message, cause }: Error): Error {
  const copy = new Error(message, { cause: rebuild(cause) });
  copy.name = name;
  return copy;
}

function tooLarge(bytes: number, bytesMax: number): CacheError {
  return new CacheError(
    "ERR_TOO_LARGE",
    `Value must be at most ${bytesMax} bytes (${formatBytes(bytesMax)}), received ${bytes}`,
    { details: { bytes, bytesMax }, applied: "no" },
  );
}

function undecodable(reason: string, cause?: unknown): CacheError {
  return new CacheError("ERR_PROTOCOL", `The stored value cannot be decoded: ${reason}`, { cause });
}
