// What commands of several keys say when one of their keys fails, and how many of them they have under way.

import { describe, expect, test } from "vitest";
import type { Change, Failure } from "../../../src/core/messages.ts";
import { Call } from "../../../src/server/redis/call.ts";
import { COMMANDS } from "../../../src/server/redis/command-table.ts";
import type { Context } from "../../../src/server/redis/context.ts";
import { EditQueue } from "../../../src/server/redis/edit.ts";
import { KEY_COMMANDS } from "../../../src/server/redis/keys.ts";
import type { Keyspace, Waiter } from "../../../src/server/redis/keyspace.ts";
import { ErrorReply, type Reply } from "../../../src/server/redis/reply.ts";
import { Request } from "../../../src/server/redis/request.ts";
import { STRING_COMMANDS } from "../../../src/server/redis/strings.ts";

const HANDLERS = { ...STRING_COMMANDS, ...KEY_COMMANDS };

const NO_QUORUM: Failure = {
  ...{ kind: "failed", id: 0, code: "ERR_NO_QUORUM", message: "1 of 3 replicas can be reached" },
  ...{ applied: "no", elsewhere: false },
};

/** Runs a command on keys of which `source` is there; writes of those in `failing` find no quorum. */
async function run(words: readonly string[], failing: readonly string[]) {
  const written: string[] = [];
  const keyspace: Keyspace = {
    isOwnView: false,
    get: (key, _want, waiter) =>
      waiter.settle({
        ...{ kind: "got", id: 0, found: key === "source", format: 1 as never },
        ...{ value: Buffer.from("v"), version: 7, expiresAt: 0 },
      }),
    write: (key: string, change: Change, waiter: Waiter) => {
      if (failing.includes(key)) return waiter.settle(NO_QUORUM);
      written.push(`${change.type} ${key}`);
      waiter.settle({ kind: "written", id: 0, outcome: true });
    },
  };
  const request = Request.of(words.map((word) => Buffer.from(word)));
  const reply = await new Promise<Reply>((resolve) => {
    const call = new Call(COMMANDS.get(words[0]!)!, request, keyspace, {
      callDone: (done) => resolve(done.reply!),
    });
    const services = { wallMs: () => 1_763_000_000_000, edits: new EditQueue() };
    const result = HANDLERS[words[0]!]!(call, { services } as unknown as Context);
    if (result !== undefined) void Promise.resolve(result).then((value) => call.done(value));
  });
  return { text: reply instanceof ErrorReply ? reply.text : "no error", written };
}

describe("A command of several keys, one of which finds no quorum,", () => {
  // README: "NOREPLICAS (write) [...]: too few replicas can be reached, certainly not done."
  test.each([
    ["MSET", ["mset", "a", "1", "b", "2"], ["b"]],
    ["DEL", ["del", "a", "b"], ["b"]],
    ["RENAME", ["rename", "source", "target"], ["source"]],
  ])("does not say NOREPLICAS, certainly not done, of a half done %s", async (_name, words, failing) => {
    const { text, written } = await run(words, failing);

    expect(written).toHaveLength(1);
    expect(text).not.toMatch(/^NOREPLICAS/);
  });

  test("says with MSETNX what it says with SETNX when nothing was done", async () => {
    expect((await run(["setnx", "a", "1"], ["a"])).text).toMatch(/^NOREPLICAS/);
    expect((await run(["msetnx", "a", "1"], ["a"])).text).toMatch(/^NOREPLICAS/);
  });
});

test("MSETNX has no more than 2,048 keys under way", async () => {
  let underWay = 0;
  let most = 0;
  const waiters: Waiter[] = [];
  const keyspace: Keyspace = {
    isOwnView: false,
    get: (_key, _want, waiter) => {
      most = Math.max(most, ++underWay);
      waiters.push(waiter);
    },
    write: (_key, _change, waiter) => waiter.settle({ kind: "written", id: 0, outcome: true }),
  };
  const pairs = Array.from({ length: 5_000 }, (_, index) => [`k${index}`, "v"]).flat();
  const request = Request.of(["msetnx", ...pairs].map((word) => Buffer.from(word)));
  const call = new Call(COMMANDS.get("msetnx")!, request, keyspace, { callDone: () => {} });
  const result = STRING_COMMANDS.msetnx!(call, {} as Context);

  for (const waiter of waiters) {
    underWay--;
    waiter.settle({
      ...{ kind: "got", id: 0, found: false, format: 0 as never },
      ...{ value: new Uint8Array(0), version: 0, expiresAt: 0 },
    });
    await Promise.resolve();
  }
  await result;

  expect(most).toBeLessThanOrEqual(2_048);
});
