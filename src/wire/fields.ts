// How one field of a message becomes something msgpack can carry, and back. `pack` trusts its value: it comes from this
// process. `parse` trusts nothing: it checks type and range and throws an `InvalidField`, which `codec.ts` turns into a failure.
//
// Invariants:
// 1. `parse` returns exactly what `pack` was given (text with lone surrogates excepted), or throws.
// 2. A packed field is a scalar, text or bytes, unless its comment says that it is an array.
// 3. `pack` never yields `undefined`: msgpackr would write an extension for it, which the header walk refuses.

import { isMemberId, type MemberId, type RingId, SLOT_COUNT, type Slot } from "../base/ids.ts";
import { KEY_BYTES_MAX } from "./limits.ts";

/** One field's two directions. */
export interface Field<T> {
  pack(value: T): unknown;
  /** @throws {InvalidField} when `raw` is no such value */
  parse(raw: unknown): T;
}

/** A field for every property of `T`: a new property that nobody encodes does not compile. */
export type Fields<T> = { readonly [K in keyof T]-?: Field<T[K]> };

/** Bytes from a stranger that mean nothing. Never leaves the wire layer. */
export class InvalidField extends Error {
  override readonly name = "InvalidField";
}

/** Throws {@link InvalidField} unless `condition` holds. `expected` should be at hand: building it costs more than the check. */
export function check(condition: boolean, expected: string): asserts condition {
  if (!condition) throw new InvalidField(`expected ${expected}`);
}

/** The `pack` of fields that msgpack carries as they are. */
export function identity<T>(value: T): T {
  return value;
}

/** An integer from `min` to `max`; negative zero becomes zero. */
export function integer(min: number, max: number): Field<number> {
  const expected = `an integer from ${min} to ${max}`;
  return {
    pack: identity,
    parse(raw) {
      check(Number.isSafeInteger(raw), expected);
      const value = (raw as number) + 0;
      check(value >= min && value <= max, expected);
      return value;
    },
  };
}

export const uint32: Field<number> = integer(0, 0xffff_ffff);
/** Versions, sequence numbers, ids of clients: up to 2^53 - 1. */
export const count: Field<number> = integer(0, Number.MAX_SAFE_INTEGER);
export const positive: Field<number> = integer(1, Number.MAX_SAFE_INTEGER);

/** Any number but NaN and the infinities. */
export const finite: Field<number> = {
  pack: identity,
  parse(raw) {
    check(typeof raw === "number" && Number.isFinite(raw), "a finite number");
    return raw + 0;
  },
};

/** An instant or a duration in milliseconds, fractions allowed: from 0 to 2^53 - 1. */
export const millis: Field<number> = {
  pack: identity,
  parse(raw) {
    check(typeof raw === "number" && raw >= 0 && raw <= Number.MAX_SAFE_INTEGER, "milliseconds");
    return raw + 0;
  },
};

export const bool: Field<boolean> = {
  pack: identity,
  parse(raw) {
    check(typeof raw === "boolean", "a boolean");
    return raw;
  },
};

/** `true`, `false` or a finite number: what a write came to. */
export const outcome: Field<boolean | number> = {
  pack: identity,
  parse: (raw) => (typeof raw === "boolean" ? raw : finite.parse(raw)),
};

/** One of a closed set, as its number. The record must name every member, so a new one does not compile until it has a number. */
export function oneOf<T extends string>(numbers: Readonly<Record<T, number>>): Field<T> {
  const values: T[] = [];
  for (const [value, number] of Object.entries(numbers) as [T, number][]) values[number] = value;
  return {
    pack: (value) => numbers[value],
    parse(raw) {
      const value = typeof raw === "number" ? values[raw] : undefined;
      check(value !== undefined, "a known constant");
      return value;
    },
  };
}

/** Bytes. Parsed ones are a view of the frame. */
export const bytes: Field<Uint8Array> = {
  pack: identity,
  parse(raw) {
    check(raw instanceof Uint8Array, "bytes");
    return raw;
  },
};

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const BYTE_ORDER_MARK = 0xfeff;

/**
 * Text of at most `bytesMax` bytes in UTF-8. Text that begins with a byte order mark travels as bytes, because msgpackr drops
 * the mark from some texts (those over 64 bytes, where its native part is not installed), and a key must not depend on that.
 */
export function text(bytesMax: number, bytesMin = 0): Field<string> {
  const expected = `text of ${bytesMin} to ${bytesMax} bytes`;
  return {
    pack: (value) => (value.charCodeAt(0) === BYTE_ORDER_MARK ? encoder.encode(value) : value),
    parse(raw) {
      const value = raw instanceof Uint8Array && raw.length <= bytesMax ? decoder.decode(raw) : raw;
      check(typeof value === "string", expected);
      check(value.length >= bytesMin, expected);
      check(hasUtf8LengthWithin(value, bytesMax), expected);
      return value;
    },
  };
}

/** Text for people: what is too long is cut when it is sent. */
export function clipped(charactersMax: number): Field<string> {
  const field = text(3 * charactersMax);
  return {
    pack: (value) => field.pack(value.length > charactersMax ? value.slice(0, charactersMax) : value),
    parse: (raw) => field.parse(raw),
  };
}

/** Whether the text has at most `bytesMax` bytes in UTF-8 (a lone surrogate counts 3). */
export function hasUtf8LengthWithin(value: string, bytesMax: number): boolean {
  if (value.length * 3 <= bytesMax) return true;
  if (value.length > bytesMax) return false;
  let length = 0;
  for (let index = 0; index < value.length; index++) {
    const unit = value.charCodeAt(index);
    // Each half of a surrogate pair counts 2: together the 4 bytes of the character.
    if (unit < 0x80) length += 1;
    else if (unit < 0x800 || isPaired(value, index)) length += 2;
    else length += 3;
  }
  return length <= bytesMax;
}

function isPaired(value: string, index: number): boolean {
  const unit = value.charCodeAt(index) & 0xfc00;
  if (unit === 0xd800) return (value.charCodeAt(index + 1) & 0xfc00) === 0xdc00;
  return unit === 0xdc00 && index > 0 && (value.charCodeAt(index - 1) & 0xfc00) === 0xd800;
}

/** A cache key: 1 to {@link KEY_BYTES_MAX} bytes. */
export const key: Field<string> = text(KEY_BYTES_MAX, 1);
/** A key or the start of one; "" allowed. */
export const keyPart: Field<string> = text(KEY_BYTES_MAX);

/** Text that matches; for short ASCII names. */
function matching<T extends string>(pattern: RegExp, expected: string): Field<T> {
  return {
    pack: identity,
    parse(raw) {
      check(typeof raw === "string" && pattern.test(raw), expected);
      return raw as T;
    },
  };
}

export const memberId: Field<MemberId> = {
  pack: identity,
  parse(raw) {
    check(typeof raw === "string" && isMemberId(raw), "a member id");
    return raw;
  },
};
export const memberIdOrNone: Field<MemberId | ""> = matching(
  /^[A-Za-z0-9._-]{0,64}$/,
  "a member id or nothing",
);
export const ringId: Field<RingId> = matching(/^[0-9a-f]{16}$/, "a ring id");
export const ringIdOrNone: Field<RingId | ""> = matching(/^(?:[0-9a-f]{16})?$/, "a ring id or nothing");
/** Zones, cluster names, genesis ids: "" to 64 characters. */
export const shortName: Field<string> = matching(/^[A-Za-z0-9._-]{0,64}$/, "a short name");
/** `host:port`, or "" where there is none. No spaces and no control characters: it ends up in logs. */
export const address: Field<string> = matching(/^[\x21-\x7e]{0,300}$/, "an address");

/** An array of at most `lengthMax` items. */
export function list<T>(field: Field<T>, lengthMax: number): Field<readonly T[]> {
  const expected = `an array of at most ${lengthMax} items`;
  return {
    pack: (values) => values.map((value) => field.pack(value)),
    parse(raw) {
      check(Array.isArray(raw), expected);
      check(raw.length <= lengthMax, expected);
      // In place: the array is fresh from the decoder and nobody else holds it.
      for (let index = 0; index < raw.length; index++) raw[index] = field.parse(raw[index]);
      return raw as T[];
    },
  };
}

/** An array of slots, strictly ascending. */
export function slots(lengthMax: number): Field<readonly Slot[]> {
  const expected = `an array of at most ${lengthMax} slots`;
  return {
    pack: identity,
    parse(raw) {
      check(Array.isArray(raw), expected);
      check(raw.length <= lengthMax, expected);
      let previous = -1;
      for (let index = 0; index < raw.length; index++) {
        const slot: unknown = raw[index];
        check(typeof slot === "number" && Number.isInteger(slot), "a slot");
        check(slot > previous && slot < SLOT_COUNT, "ascending slots");
        previous = slot;
      }
      return raw as Slot[];
    },
  };
}

/** `undefined` as nil. */
export function optional<T>(field: Field<T>): Field<T | undefined> {
  return {
    pack: (value) => (value === undefined ? null : field.pack(value)),
    parse: (raw) => (raw === null ? undefined : field.parse(raw)),
  };
}

/** An object as an array of its fields, in the order given; exactly as many as there are. */
export function struct<T extends object>(fields: Fields<T>): Field<T> {
  const names = Object.keys(fields) as (keyof T)[];
  const expected = `an array of ${names.length} fields`;
  return {
    pack: (value) => names.map((name) => fields[name].pack(value[name])),
    parse(raw) {
      check(Array.isArray(raw), expected);
      check(raw.length === names.length, expected);
      const value: Partial<T> = {};
      for (let index = 0; index < names.length; index++) {
        const name = names[index]!;
        value[name] = fields[name].parse(raw[index]);
      }
      return value as T;
    },
  };
}
