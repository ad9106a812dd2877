// One request: arguments where they lie, keys, and the name whatever its case.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { COMMANDS } from "../../../src/server/redis/command-table.ts";
import { hashOfName, Request } from "../../../src/server/redis/request.ts";
import { keyOf } from "../../../src/server/redis/values.ts";

function failure(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return (error as Error).message;
  }
}

describe("Request", () => {
  test("has the arguments that it was made of", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 30 }), { minLength: 1, maxLength: 6 }), (args) => {
        const request = Request.of(args);

        expect(request.length).toBe(args.length);
        expect(request.all.map((arg) => new Uint8Array(arg))).toEqual(args);
        expect(request.bytes).toBe(args.reduce((sum, { length }) => sum + length, 0));
        for (const [index, arg] of args.entries())
          expect(request.text(index)).toBe(Buffer.from(arg).toString("latin1"));
      }),
    );
  });

  test("takes for a key what keyOf takes, and refuses what it refuses", () => {
    const bytes = fc.oneof(
      fc.string({ maxLength: 20 }).map((text) => Buffer.from(text)),
      fc.string({ unit: "binary", maxLength: 300 }).map((text) => Buffer.from(text)),
      fc.uint8Array({ maxLength: 8 }).map((array) => Buffer.from(array)),
      fc.constantFrom(Buffer.alloc(256, 97), Buffer.alloc(257, 97), Buffer.alloc(1_025, 97)),
    );
    fc.assert(
      fc.property(bytes, (key) => {
        const request = Request.of([Buffer.from("MGET"), key, key]);
        const expected = failure(() => keyOf(key));

        expect(failure(() => request.key(1))).toBe(expected);
        expect(failure(() => request.key(2))).toBe(expected);
      }),
    );
  });

  test("is found by its name in any case, and by no other", () => {
    for (const name of COMMANDS.keys()) {
      for (const spelling of [name, name.toUpperCase(), name[0]!.toUpperCase() + name.slice(1)]) {
        const request = Request.of([Buffer.from(spelling)]);
        expect(request.nameHash).toBe(hashOfName(name));
        expect([...COMMANDS.keys()].filter((other) => request.isNamed(other))).toEqual([name]);
      }
    }
    expect(Request.of([Buffer.alloc(1_000_000, 71)]).nameHash).toBe(0);
    expect(Request.of([Buffer.from("ge\u0014")]).isNamed("get")).toBe(false);
  });

  test("refuses what asks for an argument that is not there", () => {
    expect(() => Request.of([Buffer.from("GET")]).at(1)).toThrow("ERR syntax error");
  });
});
