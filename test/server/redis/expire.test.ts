import { describe, expect, test } from "vitest";
import { type Change, VALUE_FORMAT } from "../../../src/core/messages.ts";
import { Call } from "../../../src/server/redis/call.ts";
import { COMMANDS } from "../../../src/server/redis/command-table.ts";
import type { Context } from "../../../src/server/redis/context.ts";
import { EditQueue } from "../../../src/server/redis/edit.ts";
import { KEY_COMMANDS } from "../../../src/server/redis/keys.ts";
import type { Keyspace } from "../../../src/server/redis/keyspace.ts";
import { Request } from "../../../src/server/redis/request.ts";

const NOW_MS = 1_763_000_000_000;

/** What a command of the EXPIRE family writes under a key that is there. */
function writtenBy(name: string, ...words: string[]): Change[] {
  const changes: Change[] = [];
  const keyspace: Keyspace = {
    isOwnView: false,
    get: (_key, _want, waiter) =>
      waiter.settle({
        ...{ kind: "got", id: 0, found: true, format: VALUE_FORMAT.text },
        ...{ value: Buffer.from("v"), version: 7, expiresAt: 0 },
      }),
    write: (_key, change) => changes.push(change),
  };
  const request = Request.of([name, "k", ...words].map((word) => Buffer.from(word)));
  const call = new Call(COMMANDS.get(name)!, request, keyspace, { callDone: () => {} });
  const services = { wallMs: () => NOW_MS, edits: new EditQueue() };
  KEY_COMMANDS[name]!(call, { services } as unknown as Context);
  return changes;
}

describe("The EXPIRE family", () => {
  test("lets the coordinator's clock count a usual ttl", () => {
    expect(writtenBy("expire", "100")).toEqual([{ type: "touch", ttlMs: 100_000 }]);
    expect(writtenBy("pexpire", "100")).toEqual([{ type: "touch", ttlMs: 100 }]);
  });

  test("writes an instant for a ttl that another clock might put beyond the exact integers", () => {
    const ttlMs = Number.MAX_SAFE_INTEGER - 1 - NOW_MS;

    const [change, ...more] = writtenBy("pexpire", String(ttlMs));

    expect(more).toEqual([]);
    expect(change).toMatchObject({ type: "put", expiresAt: Number.MAX_SAFE_INTEGER - 1, ifVersion: 7 });
  });
});
