// The look at a value before it is packed: msgpackr would drop functions in silence, follow a cycle until the stack ends, and turn a
// forgotten `await` into an empty object. Walks without recursion, and names the place of what cannot be stored.

import { CacheError } from "../base/errors.ts";

/** Objects within objects. Deeper is a mistake, or a list that wants to be an array. */
export const VALUE_DEPTH_MAX = 128;
/** Objects, arrays, maps and sets in one value, shared ones counted each time: a decoder builds one of each. */
export const VALUE_CONTAINERS_MAX = 1_000_000;

/** Typed arrays that msgpackr has a number for. */
const TYPED_ARRAYS = new Set([
  "Int8Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
]);

/** Classes whose objects would come back as something else, and the reason. */
const REFUSED_CLASSES: readonly (readonly [new (...rest: never[]) => object, string])[] = [
  [Promise, "a promise (is an await missing?)"],
  [WeakMap, "a WeakMap"],
  [WeakSet, "a WeakSet"],
  [WeakRef, "a WeakRef"],
  [SharedArrayBuffer, "a SharedArrayBuffer"],
  [Number, "a Number object (store the number itself)"],
  [String, "a String object (store the text itself)"],
  [Boolean, "a Boolean object (store true or false itself)"],
];

/** One object on the way down, and how far its parts have been looked at. */
interface Frame {
  readonly container: object;
  readonly parts: readonly unknown[];
  /** Names of the parts; `undefined` for an array's. */
  readonly names: readonly string[] | undefined;
  next: number;
}

/**
 * Checks that a value can be stored and comes back as it was. Returns whether it holds something that the packer needs help with:
 * a Map, a negative zero, a text with a byte order mark, an object with `toJSON`.
 *
 * @throws {CacheError} ERR_INVALID_ARGUMENT naming the place within the value; ERR_TOO_LARGE for too many parts
 */
export function checkValue(value: unknown): boolean {
  const frames: Frame[] = [];
  let needsHelp = false;
  let containers = 0;
  let part: unknown = value;
  for (;;) {
    const subject = jsonOf(part);
    const isNothing = subject === undefined && part !== undefined && frames.length === 0;
    const problem = isNothing ? "an object whose toJSON returns undefined" : problemOf(subject);
    if (problem !== undefined) throw invalid(frames, problem);
    needsHelp ||= subject !== part || isAwkward(subject);
    if (isContainer(subject)) {
      if (frames.some((frame) => frame.container === subject)) {
        throw invalid(frames, "a reference back to an object that contains it");
      }
      if (frames.length === VALUE_DEPTH_MAX)
        throw invalid(frames, `nested more than ${VALUE_DEPTH_MAX} deep`);
      if (++containers > VALUE_CONTAINERS_MAX) throw tooMany();
      frames.push(openFrame(subject, frames));
    }
    let frame = frames.at(-1);
    while (frame !== undefined && frame.next === frame.parts.length) {
      frames.pop();
      frame = frames.at(-1);
    }
    if (frame === undefined) return needsHelp;
    part = frame.parts[frame.next++];
  }
}

/** What `toJSON` makes of an object that has one; the value itself otherwise. Dates and byte arrays have their own encodings. */
export function jsonOf(value: unknown): unknown {
  if (typeof value !== "object" || value === null || value instanceof Date || ArrayBuffer.isView(value))
    return value;
  const { toJSON } = value as { toJSON?: unknown };
  return typeof toJSON === "function" ? toJSON.call(value) : value;
}

/** Whether UTF-8 can carry the text. */
export function isWellFormed(text: string): boolean {
  // Node 20 has it; the compiler's library for ES2023 does not.
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}

/** A negative zero loses its sign, a leading byte order mark may be dropped, a Map would come back as an object. */
export function isAwkward(value: unknown): boolean {
  if (typeof value === "number") return Object.is(value, -0);
  if (typeof value === "string") return value.charCodeAt(0) === 0xfeff;
  return value instanceof Map;
}

/** Whether the value has parts to look at. */
export function isContainer(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  return !(
    value instanceof Date ||
    value instanceof RegExp ||
    value instanceof ArrayBuffer ||
    ArrayBuffer.isView(value)
  );
}

function openFrame(container: object, frames: readonly Frame[]): Frame {
  if (Array.isArray(container)) return { container, parts: container, names: undefined, next: 0 };
  if (container instanceof Map) {
    const entries = [...container];
    const names = entries.flatMap(([key]) => [".<key>", `.get(${showKey(key)})`]);
    return { container, parts: entries.flat(), names, next: 0 };
  }
  if (container instanceof Set) {
    const parts = [...container];
    return { container, parts, names: parts.map(() => ".<element>"), next: 0 };
  }
  if (container instanceof Error) {
    return { container, parts: [container.message, container.cause], names: [".message", ".cause"], next: 0 };
  }
  const keys = Object.keys(container);
  for (const key of keys) {
    if (key === "__proto__") throw invalid(frames, "an object with a property named __proto__");
    if (!isWellFormed(key)) throw invalid(frames, "an object with a property name that is not valid Unicode");
  }
  const parts = keys.map((key) => (container as Record<string, unknown>)[key]);
  return { container, parts, names: keys, next: 0 };
}

/** Why this one value cannot be stored; `undefined` when it can, its parts aside. */
function problemOf(value: unknown): string | undefined {
  switch (typeof value) {
    case "function":
      return "a function";
    case "symbol":
      return "a symbol";
    case "string":
      return isWellFormed(value)
        ? undefined
        : "a text with half a surrogate pair, which is not valid Unicode";
    case "object":
      return value === null ? undefined : objectProblem(value);
    default:
      return undefined;
  }
}

function objectProblem(value: object): string | undefined {
  // The usual cases first: they need no look at any class.
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === Array.prototype) return undefined;
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    const isKnown = TYPED_ARRAYS.has(value.constructor.name) || value instanceof Buffer;
    return isKnown ? undefined : `a ${value.constructor.name}`;
  }
  return REFUSED_CLASSES.find(([refused]) => value instanceof refused)?.[1] ?? emptyProblem(value, prototype);
}

/** Built-in objects that keep what they hold where no encoder sees it (URLSearchParams, Blob, iterators) would come back as `{}`. */
function emptyProblem(value: object, prototype: unknown): string | undefined {
  if (prototype === null || isKnownToPacker(value)) return undefined;
  const isEmpty = Symbol.toStringTag in value && Object.keys(value).length === 0;
  return isEmpty
    ? `a ${Object.prototype.toString.call(value).slice(8, -1)}, which would come back empty`
    : undefined;
}

function isKnownToPacker(value: object): boolean {
  return value instanceof Map || value instanceof Set || !isContainer(value);
}

function invalid(frames: readonly Frame[], problem: string): CacheError {
  const place = frames.map(placeIn).join("");
  return new CacheError("ERR_INVALID_ARGUMENT", `Value cannot be stored: value${place} is ${problem}`, {
    details: { argument: "value", path: place },
    applied: "no",
  });
}

/** The place of the part that was looked at last. */
function placeIn({ names, next }: Frame): string {
  const index = next - 1;
  const name = names?.[index];
  if (next === 0) return "";
  if (names === undefined) return `[${index}]`;
  if (name === undefined) return "";
  if (name.startsWith(".")) return name;
  return /^[A-Za-z_$][\w$]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name.slice(0, 100))}]`;
}

function showKey(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key.slice(0, 100));
  return typeof key === "object" || typeof key === "function" ? "..." : String(key);
}

function tooMany(): CacheError {
  return new CacheError("ERR_TOO_LARGE", `Value has more than ${VALUE_CONTAINERS_MAX} objects and arrays`, {
    details: { argument: "value" },
    applied: "no",
  });
}
