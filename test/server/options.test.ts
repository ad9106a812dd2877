import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { CacheError } from "../../src/base/errors.ts";
import { type NodeOptions, resolveNodeOptions } from "../../src/server/options.ts";
import { Secret } from "../../src/server/secret.ts";

const SECRET = "a secret of more than sixteen bytes";
const PEM = "-----BEGIN";

function resolve(options: NodeOptions = {}) {
  return resolveNodeOptions(options, () => "node-1");
}

function refusal(options: unknown): CacheError {
  try {
    resolve(options as NodeOptions);
  } catch (error) {
    if (error instanceof CacheError) return error;
    throw error;
  }
  throw new Error("Expected the options to be refused");
}

describe("resolveNodeOptions", () => {
  test("makes a founder on loopback of no options at all", () => {
    expect(resolve()).toMatchObject({
      name: "node-1",
      listen: { host: "127.0.0.1", port: 7400 },
      advertise: undefined,
      seeds: [],
      isFounder: true,
      memoryBytes: 256 * 1024 * 1024,
      replicas: 3,
      write: "quorum",
      read: "one",
      cluster: "ringhold",
      secret: undefined,
      secretFile: undefined,
      usersFile: undefined,
      valueBytesMax: 8 * 1024 * 1024,
      readyTimeoutMs: 30_000,
      logLevel: "silent",
    });
  });

  test("takes an option that is undefined for one that is not given", () => {
    const names = Object.keys(resolve()).filter((name) => name !== "isFounder");
    const nothing = Object.fromEntries(
      ["join", "memory", "logger", "tls", ...names]
        .filter((name) => !/Ms$|Bytes$|seeds/.test(name))
        .map((name) => [name, undefined]),
    );

    expect(resolve(nothing)).toEqual(resolve());
  });

  test("reads texts as people write them", () => {
    const options = resolve({
      listen: "[::1]:0",
      join: "ringhold://a,b:7401",
      memory: "1.5gb",
      valueBytesMax: "1mb",
      readyTimeout: "2m",
      deadGrace: "90s",
    });

    expect(options).toMatchObject({
      listen: { host: "::1", port: 0 },
      seeds: ["a:7400", "b:7401"],
      isFounder: false,
      memoryBytes: 1.5 * 1024 ** 3,
      valueBytesMax: 1024 ** 2,
      readyTimeoutMs: 120_000,
      membership: { deadGraceMs: 90_000 },
    });
  });

  test("founds a cluster without looking at the seeds when told to", () => {
    expect(resolve({ join: "a:1", bootstrap: true })).toMatchObject({ seeds: [], isFounder: true });
  });

  test("lowers the largest value to a quarter of a small memory", () => {
    expect(resolve({ memory: "1mb" }).valueBytesMax).toBe(256 * 1024);
  });

  test("changes nothing in its argument and freezes its result", () => {
    const input = Object.freeze({ join: Object.freeze(["a:1"]), membership: Object.freeze({}) });

    const options = resolve(input);

    expect(Object.isFrozen(options)).toBe(true);
    expect(Object.isFrozen(options.seeds)).toBe(true);
    expect(Object.isFrozen(options.membership)).toBe(true);
  });

  const bad: [option: string, input: Record<string, unknown>][] = [
    ["name", { name: "" }],
    ["name", { name: "a b" }],
    ["name", { name: "x".repeat(65) }],
    ["name", { name: 5 }],
    ["listen", { listen: "127.0.0.1:x" }],
    ["listen", { listen: "127.0.0.1:70000" }],
    ["listen", { listen: 7400 }],
    ["advertise", { advertise: "http://a" }],
    ["advertise", { advertise: "0.0.0.0:7400" }],
    ["advertise", { advertise: "[::]:7400" }],
    ["join", { join: "a:1,,b:2" }],
    ["join", { join: [1] }],
    ["join", { join: {} }],
    ["join", { bootstrap: false }],
    ["bootstrap", { bootstrap: "yes" }],
    ["zone", { zone: "a b" }],
    ["zone", { zone: 1 }],
    ["weight", { weight: 0 }],
    ["weight", { weight: 65 }],
    ["weight", { weight: 1.5 }],
    ["weight", { weight: "2" }],
    ["memory", { memory: "lots" }],
    ["memory", { memory: 1024 }],
    ["memory", { memory: Number.NaN }],
    ["memory", { memory: Number.POSITIVE_INFINITY }],
    ["memory", { memory: true }],
    ["replicas", { replicas: 0 }],
    ["replicas", { replicas: 8 }],
    ["write", { write: "some" }],
    ["read", { read: "all" }],
    ["cluster", { cluster: "" }],
    ["cluster", { cluster: null }],
    ["secret", { secret: "short" }],
    ["secret", { secret: "x".repeat(1025) }],
    ["secret", { secret: new Uint8Array(32) }],
    ["tls", { tls: PEM }],
    ["tls.key", { tls: { cert: PEM, ca: PEM } }],
    ["tls.ca", { tls: { cert: PEM, key: PEM, ca: "" } }],
    ["tls.kay", { tls: { cert: PEM, kay: PEM, ca: PEM } }],
    ["valueBytesMax", { valueBytesMax: 0 }],
    ["valueBytesMax", { valueBytesMax: "257mb", memory: "1gb" }],
    ["valueBytesMax", { valueBytesMax: "2mb", memory: "1mb" }],
    ["leaveOnStop", { leaveOnStop: 1 }],
    ["deadGrace", { deadGrace: "soon" }],
    ["deadGrace", { deadGrace: "60s", membership: { deadGraceMs: 60_000 } }],
    ["readyTimeout", { readyTimeout: -1 }],
    ["readyTimeout", { readyTimeout: "soon" }],
    ["readyTimeout", { readyTimeout: 2 ** 31 }],
    ["readyTimeout", { readyTimeout: Number.NaN }],
    ["connectionsMax", { connectionsMax: 1 }],
    ["logLevel", { logLevel: "loud" }],
    ["logLevel", { logLevel: "info", logger: console }],
    ["logger", { logger: {} }],
    ["onEvent", { onEvent: "tell me" }],
    ["membership", { membership: 5 }],
    ["probeIntervalMs", { membership: { probeIntervalMs: 0 } }],
    ["probeTimeoutMs", { membership: { probeTimeoutMs: 500 } }],
    ["membership.probeInterval", { membership: { probeInterval: 100 } }],
    ["pendingMax", { replication: { pendingMax: "many" } }],
    ["replication.pendingMin", { replication: { pendingMin: 1 } }],
    ["port", { port: 7400 }],
    ["options", null as unknown as Record<string, unknown>],
  ];
  test.each(bad)("refuses a bad %s: %j", (option, input) => {
    const error = refusal(input);

    expect(error.code).toBe("ERR_INVALID_OPTION");
    expect(error.details).toEqual({ option });
    expect(error.message).toContain(option);
  });

  test.each([
    ["listn", "did you mean listen?"],
    ["reads", "did you mean read?"],
    ["zzzzzz", "known are name, listen,"],
  ])("answers the unknown name %s with %s", (name, hint) => {
    expect(refusal({ [name]: 1 }).message).toContain(hint);
  });

  test.each(["0.0.0.0:7400", "[::]:7400", "10.1.2.3:7400", "example.com:7400"])(
    "refuses to listen on %s without a secret, in one line that says what to do",
    (listen) => {
      const error = refusal({ listen, advertise: "10.1.2.3:7400" });

      expect(error.code).toBe("ERR_INVALID_OPTION");
      expect(error.message).toContain(listen);
      expect(error.message).toContain("--secret-file or RINGHOLD_SECRET");
      expect(error.message).not.toContain("\n");
      expect(resolve({ listen, secret: SECRET }).listen.port).toBe(7400);
    },
  );

  test("never shows a secret or a private key", () => {
    const tls = { cert: PEM, key: "the private key", ca: PEM };
    const options = resolve({ secret: SECRET, tls });

    for (const shown of [inspect(options, { depth: 9 }), JSON.stringify(options), `${options.secret}`]) {
      expect(shown).not.toContain(SECRET);
      expect(shown).not.toContain("the private key");
    }
    expect(options.secret?.reveal()).toBe(SECRET);
    expect(options.tls).toHaveProperty("key", "the private key");
    expect(refusal({ secret: "too short 1234" }).message).not.toContain("too short 1234");
    expect(refusal({ secret: { text: SECRET } as never }).message).not.toContain(SECRET);
    expect(refusal({ secret: [SECRET, SECRET] }).message).not.toContain(SECRET);
  });
});

describe("Secret", () => {
  test("prints as stars", () => {
    expect(`${new Secret("x")}`).toBe("***");
    expect(JSON.stringify({ secret: new Secret("x") })).toBe('{"secret":"***"}');
  });
});
