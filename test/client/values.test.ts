import fc from "fast-check";
import { Packr } from "msgpackr";
import { describe, expect, test } from "vitest";
import { decodeValue, encodeValue } from "../../src/client/values.ts";
import type { ValueFormat } from "../../src/core/messages.ts";

const LIMIT = 8 * 1024 * 1024;

function roundTrip(value: unknown): unknown {
  const { format, bytes } = encodeValue(value, LIMIT);
  // As a view into a frame, the way it arrives.
  const frame = new Uint8Array(bytes.length + 7);
  frame.set(bytes, 3);
  return decodeValue(format, Buffer.from(frame.buffer, 3, bytes.length));
}

class Point {
  readonly x: number;
  constructor(x: number) {
    this.x = x;
  }
  double(): number {
    return 2 * this.x;
  }
}

describe("encodeValue and decodeValue", () => {
  test.each([
    ["a text", "grüße 🎉", 1],
    ["an empty text", "", 1],
    ["a text with a byte order mark", "\ufeffx", 1],
    ["bytes", new Uint8Array([0, 1, 255]), 2],
    ["no bytes", new Uint8Array(0), 2],
    ["an integer", 42, 3],
    ["a fraction", -0.1, 3],
    ["the largest number", Number.MAX_VALUE, 3],
    ["the smallest number", Number.MIN_VALUE, 3],
    ["negative zero", -0, 0],
    ["not a number", Number.NaN, 0],
    ["infinity", Number.NEGATIVE_INFINITY, 0],
    ["null", null, 0],
    ["a boolean", false, 0],
    ["a big integer", -(2n ** 63n), 0],
    ["a larger big integer", 2n ** 200n, 0],
    ["a date", new Date("1969-07-20T20:17:40.123Z"), 0],
    ["a date out of range", new Date(Number.NaN), 0],
    ["an object", { name: "Ada", tags: ["a", { b: [null] }], empty: {} }, 0],
    ["an object with undefined in it", { a: undefined, b: [undefined] }, 0],
    ["an object with the names of built-in methods", { constructor: 1, hasOwnProperty: 2, valueOf: 3 }, 0],
    [
      "a Map",
      new Map<unknown, unknown>([
        ["k", new Map([[1, { deep: -0 }]])],
        [{ a: 1 }, new Set([1, "x"])],
      ]),
      0,
    ],
    ["a Set", new Set(["a", new Map([["b", 1]])]), 0],
    [
      "typed arrays",
      { f: new Float64Array([1.5, -0]), b: new BigInt64Array([1n]), u: new Uint8Array([7]) },
      0,
    ],
    ["a regular expression", /a+b/gi, 0],
    ["long texts with a byte order mark", [`\ufeff${"x".repeat(100)}`, { t: "\ufeff" }], 0],
  ])("encodeValue keeps %s", (_, value, format) => {
    expect(encodeValue(value, LIMIT).format).toBe(format);
    expect(roundTrip(value)).toStrictEqual(value);
  });

  test("decodeValue returns whatever encodeValue was given", () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      maxDepth: 5,
      key: fc.string({ unit: "grapheme" }).filter((key) => key !== "__proto__"),
      values: [
        fc.string({ unit: "binary" }),
        fc.double(),
        fc.integer(),
        fc.bigInt(),
        fc.boolean(),
        fc.date(),
        fc.constantFrom(null, -0, "\ufeff"),
      ],
    });
    fc.assert(
      fc.property(
        anything.filter((value) => value !== undefined),
        (value) => {
          expect(roundTrip(value)).toStrictEqual(value);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("decodeValue makes a Uint8Array of a stored Buffer, with bytes of its own", () => {
    const buffer = Buffer.from("abc");
    const encoded = encodeValue(buffer, LIMIT);
    buffer.fill(0);

    const value = decodeValue(encoded.format, encoded.bytes);
    encoded.bytes.fill(0);

    expect(value).toStrictEqual(new Uint8Array([97, 98, 99]));
    expect(Object.getPrototypeOf(value)).toBe(Uint8Array.prototype);
    expect(roundTrip({ inside: Buffer.from("abc") })).toStrictEqual({ inside: new Uint8Array([97, 98, 99]) });
  });

  test("encodeValue copies bytes, so that the caller may change its own at once", () => {
    const mine = new Uint8Array([1, 2, 3]);
    const { bytes } = encodeValue(mine, LIMIT);
    mine.fill(9);

    expect(bytes).toEqual(new Uint8Array([1, 2, 3]));
  });

  test("encodeValue makes plain objects of others, and honours toJSON", () => {
    const url = { toJSON: () => ({ href: "x", map: new Map([[1, 2]]) }) };

    expect(roundTrip(new Point(3))).toStrictEqual({ x: 3 });
    expect(roundTrip({ url })).toStrictEqual({ url: { href: "x", map: new Map([[1, 2]]) } });
    expect(roundTrip(Object.assign(Object.create(null), { a: 1 }))).toStrictEqual({ a: 1 });
    expect(roundTrip([Object.create(null), new (class Filter {})()])).toStrictEqual([{}, {}]);
    expect(roundTrip(new (class Rows extends Array<number> {})(1, 2, 3))).toStrictEqual([1, 2, 3]);
  });

  test("encodeValue keeps an error's name, message and cause", () => {
    const error = roundTrip(new RangeError("too far", { cause: { limit: 3 } })) as RangeError;

    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({ message: "too far", cause: { limit: 3 } });
  });

  test("encodeValue takes a value that is used twice within another", () => {
    const shared = { a: 1 };

    expect(roundTrip([shared, shared])).toStrictEqual([shared, shared]);
  });
});

describe("encodeValue refusing", () => {
  const cycle: Record<string, unknown> = { list: [] };
  (cycle.list as unknown[]).push({ back: cycle });
  let deep: unknown = 1;
  for (let depth = 0; depth < 200; depth++) deep = [deep];

  test.each([
    ["undefined", undefined, "must not be undefined"],
    ["a function", () => 1, "value is a function"],
    ["a symbol", Symbol("x"), "value is a symbol"],
    ["a class", Point, "value is a function"],
    ["a function inside", { user: { save() {} } }, "value.user.save is a function"],
    ["a function in an array", [1, { "a b": [() => 1] }], 'value[1]["a b"][0] is a function'],
    ["a function in a Map", new Map([["k", { f: () => 1 }]]), 'value.get("k").f is a function'],
    ["a symbol in a Set", new Set([Symbol("x")]), "value.<element> is a symbol"],
    ["an object with its own methods", { name: "x", go: () => 1 }, "value.go is a function"],
    ["a cycle", cycle, "value.list[0].back is a reference back"],
    ["a promise", { user: Promise.resolve(1) }, "value.user is a promise (is an await missing?)"],
    ["a WeakMap", new WeakMap(), "value is a WeakMap"],
    ["a boxed number", { n: Object(3) }, "value.n is a Number object (store the number itself)"],
    ["a boxed text", Object("ab"), "value is a String object"],
    ["a boxed boolean", [Object(false)], "value[0] is a Boolean object"],
    ["URLSearchParams", { q: new URLSearchParams("a=1") }, "value.q is a URLSearchParams, which would come"],
    ["a Blob", new Blob(["a"]), "value is a Blob, which would come back empty"],
    ["an iterator", new Map([[1, 2]]).keys(), "value is a Map Iterator, which would come back empty"],
    ["half a surrogate pair", "a\ud800b", "half a surrogate pair"],
    ["half a surrogate pair inside", ["\udc00"], "value[0] is a text with half"],
    ["half a surrogate pair in a name", { "\udc00": 1 }, "property name that is not valid Unicode"],
    ["a property named __proto__", JSON.parse('{"__proto__": 1}'), "a property named __proto__"],
    ["too deep", deep, "nested more than 128 deep"],
    [
      "an object that turns itself into nothing",
      { toJSON: () => undefined },
      "value is an object whose toJSON returns undefined",
    ],
  ])("encodeValue refuses %s and says where it is", (_, value, message) => {
    expect(() => encodeValue(value, LIMIT)).toThrowError(
      expect.objectContaining({
        code: "ERR_INVALID_ARGUMENT",
        applied: "no",
        message: expect.stringContaining(message),
      }),
    );
  });

  test.each([
    ["text", "x".repeat(101)],
    ["text of wide characters", "ü".repeat(51)],
    ["bytes", new Uint8Array(101)],
    ["an object", { a: "x".repeat(101) }],
  ])("encodeValue refuses %s beyond the limit", (_, value) => {
    expect(() => encodeValue(value, 100)).toThrowError(expect.objectContaining({ code: "ERR_TOO_LARGE" }));
  });

  test("encodeValue takes what just fits", () => {
    expect(encodeValue("x".repeat(100), 100).bytes).toHaveLength(100);
    expect(encodeValue(new Uint8Array(100), 100).bytes).toHaveLength(100);
  });

  test("encodeValue ends on a value that grows while it is walked", () => {
    const wide = Array.from({ length: 1_100 }, () => Array.from({ length: 1_000 }, () => ({})));

    expect(() => encodeValue(wide, LIMIT)).toThrowError(expect.objectContaining({ code: "ERR_TOO_LARGE" }));
  });
});

describe("decodeValue on hostile bytes", () => {
  const packed = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));
  const records = new Packr({ useRecords: true }).pack([{ a: 1 }, { a: 2 }]);

  test.each<[string, ValueFormat, Uint8Array]>([
    ["nothing at all", 0, packed("")],
    ["an array that announces 32 million items", 0, packed("dd01ffffff")],
    ["a map that announces 65,535 entries", 0, packed("deffff")],
    ["text that is cut short", 0, packed("d9ff61")],
    ["bytes after the end", 0, packed("c0c0")],
    ["the unused type", 0, packed("c1")],
    ["a record definition", 0, new Uint8Array(records)],
    ["a pointer", 0, packed("d67000000001")],
    ["bundled strings", 0, packed("d66200000001c0")],
    ["an unknown extension", 0, packed("d40500")],
    ["a typed array of no known type", 0, packed("c7037499aabb")],
    ["a typed array of half an element", 0, packed("c704740101")],
    ["a Set of a number", 0, packed("d4730005")],
    ["a Map of a number", 0, packed("d46d0005")],
    ["a regular expression that is none", 0, packed("d4780092a128a0")],
    ["arrays 1,000 deep", 0, new Uint8Array(1_000).fill(0x91)],
    ["text that is no UTF-8", 1, packed("ff")],
    ["a number that is none", 3, Buffer.from("12abc")],
    ["an empty number", 3, packed("")],
    ["a number too large", 3, Buffer.from("1e999")],
    ["a number in another notation", 3, Buffer.from("0x10")],
  ])("decodeValue refuses %s", (_, format, bytes) => {
    expect(() => decodeValue(format, bytes)).toThrowError(expect.objectContaining({ code: "ERR_PROTOCOL" }));
  });

  test("decodeValue never pollutes a prototype", () => {
    const evil = packed(
      `81a9${Buffer.from("__proto__").toString("hex")}81a8${Buffer.from("polluted").toString("hex")}c3`,
    );

    const value = decodeValue(0, evil) as object;

    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    expect((value as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test("decodeValue either returns or throws ERR_PROTOCOL, whatever the bytes are", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom<ValueFormat>(0, 1, 2, 3),
        (bytes, format) => {
          try {
            decodeValue(format, bytes);
          } catch (error) {
            expect(error).toMatchObject({ name: "CacheError", code: "ERR_PROTOCOL" });
          }
        },
      ),
      { numRuns: 3_000 },
    );
  });

  test("encodeValue keeps a Map, and a negative zero, in the cause of an error", () => {
    const cause = { seen: new Map([["a", 1]]), zero: -0 };
    const { format, bytes } = encodeValue([new Error("no", { cause })], 1_000);

    expect((decodeValue(format, bytes) as Error[])[0]!.cause).toStrictEqual(cause);
  });

  test("decodeValue survives the corruption of an honest value at every byte", () => {
    const { bytes } = encodeValue(
      { m: new Map([["a", new Set([1n, -0])]]), d: new Date(), t: new Float32Array(2) },
      LIMIT,
    );
    for (let index = 0; index < bytes.length; index++) {
      for (const mask of [0x01, 0x10, 0x40, 0x80, 0xff]) {
        const broken = new Uint8Array(bytes);
        broken[index]! ^= mask;
        try {
          decodeValue(0, broken);
        } catch (error) {
          expect(error).toMatchObject({ name: "CacheError", code: "ERR_PROTOCOL" });
        }
      }
    }
  });
});
