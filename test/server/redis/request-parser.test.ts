// The parser of requests: whatever the cut, the same requests; hostile lengths; inline commands.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Request } from "../../../src/server/redis/request.ts";
import {
  INLINE_BYTES_MAX,
  RequestError,
  RequestParser,
  splitArguments,
} from "../../../src/server/redis/request-parser.ts";

const LIMITS = { argumentsMax: 1_000, argumentBytesMax: 100_000, requestBytesMax: 200_000 };

/** Everything in the bytes: requests as arrays of latin1 texts, then the error's message if there is one. */
function parseAll(chunks: readonly Uint8Array[], limits = LIMITS): unknown[] {
  const parser = new RequestParser(limits);
  const found: unknown[] = [];
  for (const chunk of chunks) {
    parser.push(Buffer.from(chunk));
    for (let next = parser.next(); next !== undefined; next = parser.next()) {
      if (next instanceof RequestError) return [...found, next.message];
      found.push(next.all.map((arg) => arg.toString("latin1")));
    }
  }
  return found;
}

function encode(request: readonly Uint8Array[]): Buffer {
  const parts = request.flatMap((arg) => [
    Buffer.from(`$${arg.length}\r\n`),
    Buffer.from(arg),
    Buffer.from("\r\n"),
  ]);
  return Buffer.concat([Buffer.from(`*${request.length}\r\n`), ...parts]);
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const points = [0, ...new Set(at.map((point) => point % (bytes.length + 1))), bytes.length].sort(
    (a, b) => a - b,
  );
  return points.slice(1).map((end, index) => bytes.subarray(points[index], end));
}

const request = fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 6 });
const inline = fc
  .stringMatching(/^[a-z]{1,8}( [a-z0-9]{1,8}){0,4}$/)
  .filter((line) => line.split(" ")[0] !== "post");

describe("RequestParser", () => {
  test("finds the same requests however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(request, inline), { maxLength: 8 }),
        fc.array(fc.nat({ max: 1_000 }), { maxLength: 30 }),
        (requests, at) => {
          const bytes = Buffer.concat(
            requests.map((one) => (typeof one === "string" ? Buffer.from(`${one}\r\n`) : encode(one))),
          );
          const expected = requests.map((one) =>
            typeof one === "string" ? one.split(" ") : one.map((arg) => Buffer.from(arg).toString("latin1")),
          );

          expect(parseAll([bytes])).toEqual(expected);
          expect(parseAll(cut(bytes, at))).toEqual(expected);
          expect(parseAll([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(expected);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("comes to the same end however garbage is cut", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "*1\r\n",
        "*-1\r\n",
        "$3\r\n",
        "$-1\r\n",
        "\r\n",
        "*2\r\n$1\r\n",
        "PING\r\n",
        '"',
        "'a",
        "*99999999999\r\n",
      ),
      fc.string({ unit: "binary", maxLength: 5 }),
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 12 }),
        fc.array(fc.nat({ max: 200 }), { maxLength: 12 }),
        (pieces, at) => {
          const bytes = Buffer.from(pieces.join(""), "latin1");

          expect(parseAll(cut(bytes, at))).toEqual(parseAll([bytes]));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("hands out arguments that later bytes do not change", () => {
    const parser = new RequestParser(LIMITS);
    parser.push(Buffer.from("*2\r\n$3\r\nGET\r\n$2\r"));
    parser.push(Buffer.from("\nab\r\n*1\r\n$4\r\nPI"));
    const first = parser.next() as Request;
    parser.push(Buffer.from("NG\r\n*1\r\n$4\r\nECHO\r\n".repeat(100)));
    while (parser.next() instanceof Request);

    expect(first.all.map(String)).toEqual(["GET", "ab"]);
  });

  test("skips empty arrays and empty lines", () => {
    expect(parseAll([Buffer.from("*0\r\n*-1\r\n\r\n\n*1\r\n$4\r\nPING\r\n")])).toEqual([["PING"]]);
  });

  test.each([
    ["*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$2147483648\r\n", "invalid bulk length"],
    ["*3\r\n$3\r\nSET\r\n$-5\r\n", "invalid bulk length"],
    ["*3\r\n$3\r\nSET\r\n$\r\n", "invalid bulk length"],
    ["*3\r\n$3\r\nSET\r\n$01\r\n", "invalid bulk length"],
    ["*20000\r\n", "invalid multibulk length"],
    ["*99999999999999999999\r\n", "invalid multibulk length"],
    ["*x\r\n", "invalid multibulk length"],
    ["*3\r\nSET\r\n", "expected '$', got 'S'"],
    ["*1\r\n\u0001", "expected '$', got '?'"],
    ["POST / HTTP/1.1\r\nHost: 127.0.0.1:6379\r\n\r\nFLUSHALL\r\n", "this is HTTP"],
    ["OPTIONS / HTTP/1.1\r\nhost: 127.0.0.1:6379\r\n\r\nFLUSHALL\r\n", "this is HTTP"],
    ['SET "a b\r\n', "unbalanced quotes in request"],
    [`${"a".repeat(INLINE_BYTES_MAX)}`, "too big inline request"],
    [`*${"1".repeat(INLINE_BYTES_MAX)}`, "too big mbulk count string"],
    [`*1\r\n$${"1".repeat(INLINE_BYTES_MAX)}`, "too big bulk count string"],
    [`*3\r\n${`$100000\r\n${"x".repeat(100_000)}\r\n`.repeat(2)}`, "request too large"],
  ])("refuses %j", (bytes, message) => {
    const found = parseAll([Buffer.from(bytes, "latin1")]);
    // A second request may already be refused for its size.
    expect(found.at(-1)).toBe(message);
  });

  test("says the same for ever after an error", () => {
    const parser = new RequestParser(LIMITS);
    parser.push(Buffer.from("*x\r\n"));
    parser.next();
    parser.push(Buffer.from("*1\r\n$4\r\nPING\r\n"));

    expect(parser.next()).toBeInstanceOf(RequestError);
  });

  test("gives strangers little", () => {
    const parser = new RequestParser({ argumentsMax: 10, argumentBytesMax: 16_384, requestBytesMax: 65_536 });
    parser.push(Buffer.from("*11\r\n"));

    expect(parser.next()).toMatchObject({ message: "unauthenticated multibulk length" });
  });

  test("keeps an announced value only as it arrives", () => {
    const parser = new RequestParser({ ...LIMITS, argumentBytesMax: 2 ** 30, requestBytesMax: 2 ** 31 });
    parser.push(Buffer.from("*2\r\n$3\r\nGET\r\n$1000000000\r\n"));

    expect(parser.next()).toBeUndefined();
    expect(process.memoryUsage().arrayBuffers).toBeLessThan(500_000_000);
  });

  test("reads a large value in small pieces without copying it again and again", () => {
    const parser = new RequestParser({ ...LIMITS, argumentBytesMax: 2 ** 24, requestBytesMax: 2 ** 25 });
    const bytes = encode([Buffer.from("SET"), Buffer.alloc(8 * 1024 * 1024, 7)]);
    const startMs = performance.now();
    let request: unknown;
    for (let at = 0; at < bytes.length; at += 1024) {
      parser.push(bytes.subarray(at, at + 1024));
      request = parser.next();
    }

    expect((request as Request).at(1)).toHaveLength(8 * 1024 * 1024);
    // 8,192 pieces: a copy of all for each would be 32 GB.
    expect(performance.now() - startMs).toBeLessThan(2_000);
  });
});

describe("splitArguments", () => {
  test.each([
    ["set a b", ["set", "a", "b"]],
    ["  set\ta  ", ["set", "a"]],
    ['set "a b" c', ["set", "a b", "c"]],
    ['"\\x41\\n\\t\\"\\\\"', ['A\n\t"\\']],
    ["'it\\'s' x", ["it's", "x"]],
    ["'a\\n'", ["a\\n"]],
    ['""', [""]],
    ['a"b', undefined],
    ['"a"b', undefined],
    ["'a", undefined],
    ["", []],
  ])("reads %j", (line, words) => {
    expect(splitArguments(Buffer.from(line))?.map(String)).toEqual(words);
  });
});
