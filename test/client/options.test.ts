import { describe, expect, test } from "vitest";
import { resolveClientOptions } from "../../src/client/options.ts";

describe("resolveClientOptions", () => {
  test.each([
    ["ringhold://a:1,b:2", ["a:1", "b:2"]],
    ["ringhold://a", ["a:7400"]],
    ["ringhold://a:1,a:1", ["a:1"]],
    ["ringhold://[::1]:7401,127.0.0.1", ["[::1]:7401", "127.0.0.1:7400"]],
    ["ringhold://a:1/", ["a:1"]],
    ["a:1,b", ["a:1", "b:7400"]],
  ])("resolveClientOptions reads %s", (url, seeds) => {
    expect(resolveClientOptions(url)).toMatchObject({ seeds, tls: undefined });
  });

  test("resolveClientOptions reads seeds from an object, with options beside them", () => {
    const options = resolveClientOptions(
      { seeds: ["a:1", "ringhold://b"], timeout: 5, read: "one" },
      { read: "quorum" },
    );

    expect(options).toMatchObject({ seeds: ["a:1", "b:7400"], timeoutMs: 5, read: "quorum" });
  });

  test("resolveClientOptions has defaults for everything but the seeds", () => {
    expect(resolveClientOptions("ringhold://a")).toEqual({
      seeds: ["a:7400"],
      timeoutMs: 1_000,
      connectTimeoutMs: 3_000,
      secrets: expect.any(Function),
      user: "",
      tls: undefined,
      write: undefined,
      read: undefined,
      readFrom: "first",
      cluster: "ringhold",
      isUnref: false,
    });
    expect(resolveClientOptions("a", { timeout: 9_000 }).connectTimeoutMs).toBe(9_000);
  });

  test("resolveClientOptions takes a user and its secret from the URL, or as options, but not both", () => {
    const options = resolveClientOptions("ringhold://api:a%40b%3Ac@a,b:1");

    expect(options).toMatchObject({ seeds: ["a:7400", "b:1"], user: "api" });
    expect(options.secrets()).toEqual(["a@b:c"]);
    expect(resolveClientOptions("a", { user: "api", secret: ["new", "old"] }).secrets()).toEqual([
      "new",
      "old",
    ]);
    for (const given of [{ secret: "x" }, { user: "x" }])
      expect(() => resolveClientOptions("ringhold://api:x@a", given)).toThrow("without user and secret");
    expect(() => resolveClientOptions("a", { user: "api" })).toThrow("secret must be given with user");
    expect(() => resolveClientOptions("a", { user: "a b", secret: "x" })).toThrow("Option user");
  });

  test("resolveClientOptions asks a function for the secret each time it is needed", () => {
    let secret: string | string[] = "one";
    const { secrets } = resolveClientOptions("a", { secret: () => secret });

    expect(secrets()).toEqual(["one"]);
    secret = ["two", "one"];
    expect(secrets()).toEqual(["two", "one"]);
    secret = "";
    expect(secrets).toThrow("Option secret");
  });

  test("resolveClientOptions turns TLS on for ringholds URLs", () => {
    expect(resolveClientOptions("ringholds://a,b:1")).toMatchObject({ seeds: ["a:7400", "b:1"], tls: {} });
    expect(resolveClientOptions("a", { tls: true }).tls).toEqual({});
    expect(resolveClientOptions("ringholds://a", { tls: { ca: "PEM" } }).tls).toEqual({ ca: "PEM" });
    expect(resolveClientOptions("a", { tls: false }).tls).toBeUndefined();
  });

  test.each<[string, unknown, unknown, string]>([
    ["no URL", undefined, {}, "Option seeds must be a URL"],
    ["a number", 7400, {}, "Option seeds"],
    ["an empty text", "", {}, "Option seeds"],
    ["no seeds", { seeds: [] }, {}, "Option seeds"],
    ["an object without seeds", { timeout: 3 }, {}, "Option seeds"],
    ["another scheme", "redis://a:6379", {}, "Option seeds"],
    ["HTTP", "http://a:7400", {}, "Option seeds"],
    ["a port out of range", "ringhold://a:99999", {}, "Option seeds"],
    ["port 0", "ringhold://a:0", {}, "Option seeds"],
    ["an empty address in the list", "ringhold://a:1,,b:1", {}, "Option seeds"],
    ["a path", "ringhold://a:1/db", {}, "Option seeds"],
    ["two schemes", { seeds: ["ringhold://a", "ringholds://b"] }, {}, "all ringhold:// or all ringholds://"],
    ["seeds in the options", "a", { seeds: ["b"] }, "part of the first argument"],
    ["timeout 0", "a", { timeout: 0 }, "Option timeout"],
    ["a timeout that is no number", "a", { timeout: "1s" }, "Option timeout"],
    ["a timeout that is NaN", "a", { timeout: Number.NaN }, "Option timeout"],
    ["a timeout too long", "a", { timeout: 2 ** 31 }, "Option timeout"],
    ["connectTimeout -1", "a", { connectTimeout: -1 }, "Option connectTimeout"],
    ["an unknown write mode", "a", { write: "most" }, "one of async, quorum, all"],
    ["an unknown read mode", "a", { read: "all" }, "one of one, quorum"],
    ["a bad cluster name", "a", { cluster: "my cluster" }, "Option cluster"],
    ["an unref that is no boolean", "a", { unref: 1 }, "Option unref"],
    ["a mistyped option", "a", { timout: 3 }, "Unknown option timout: did you mean timeout?"],
    ["an unknown option", "a", { password: 3 }, "Unknown option password: known are"],
    ["an unknown option in the object", { seeds: "a", retries: 3 }, {}, "Unknown option retries"],
    ["an unknown TLS option", "a", { tls: { pfx: "x" } }, "Option tls"],
    ["half a certificate", "a", { tls: { cert: "x" } }, "tls.cert and tls.key go together"],
    ["TLS off for a TLS URL", "ringholds://a", { tls: false }, "Option tls"],
    ["an empty secret", "a", { secret: "" }, "Option secret"],
    ["options that are no object", "a", 5, "Option options must be an object"],
  ])("resolveClientOptions refuses %s", (_, target, options, message) => {
    expect(() => resolveClientOptions(target, options)).toThrowError(
      expect.objectContaining({ code: "ERR_INVALID_OPTION", message: expect.stringContaining(message) }),
    );
  });

  test("resolveClientOptions shows neither secrets nor passwords", () => {
    const shown = (run: () => unknown): string => {
      try {
        run();
      } catch (error) {
        return `${(error as Error).message} ${JSON.stringify((error as { details: unknown }).details)}`;
      }
      throw new Error("it was accepted");
    };

    for (const url of [
      "ringhold://hunter2@a:1",
      "ringhold://a,u:hunter2@b",
      "ringhold://u:hunter2@a@b",
      "u:hunter2@a",
      "ringhold://u:hunter2@a b",
    ])
      expect(shown(() => resolveClientOptions(url))).not.toContain("hunter2");
    expect(shown(() => resolveClientOptions("a", { secret: { value: "hunter2" } }))).not.toContain("hunter2");
  });
});
