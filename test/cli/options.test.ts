// Flags and their environment variables.

import { Command } from "commander";
import { afterEach, describe, expect, test, vi } from "vitest";
import {
  type SharedNodeFlags,
  sharedNodeArguments,
  withSharedNodeFlags,
} from "../../src/cli/node-options.ts";
import {
  address,
  addressList,
  duration,
  environmentName,
  finiteNumber,
  integer,
  option,
  serverAddress,
  size,
} from "../../src/cli/options.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

function parse(command: Command, ...args: string[]): Record<string, unknown> {
  return command.parse(args, { from: "user" }).opts();
}

describe("option", () => {
  test("reads RINGHOLD_<FLAG> when the flag is not given, and the flag when both are", () => {
    vi.stubEnv("RINGHOLD_DEAD_GRACE", "5s");
    const make = () => new Command().addOption(option("--dead-grace <duration>", "", { parse: duration }));

    expect(parse(make())).toEqual({ deadGrace: 5000 });
    expect(parse(make(), "--dead-grace", "1m")).toEqual({ deadGrace: 60_000 });
    expect(environmentName("--secret-file")).toBe("RINGHOLD_SECRET_FILE");
  });

  test.each([
    ["1", { json: true }],
    ["true", { json: true }],
    ["0", {}],
    ["false", {}],
    ["", {}],
  ])("takes a bare flag's variable set to %j as %j", (value, expected) => {
    vi.stubEnv("RINGHOLD_JSON", value);

    expect(parse(new Command().addOption(option("--json", "")))).toEqual(expected);
  });
});

describe("parsers", () => {
  test.each<[string, () => unknown, unknown]>([
    ["an integer in range", () => integer(1, 64)("64"), 64],
    ["milliseconds without a unit", () => duration("250"), 250],
    ["a duration with a unit", () => duration("1.5s"), 1500],
    ["a size", () => size("64mb"), 64 * 1024 * 1024],
    ["an address without a port", () => address("localhost"), "localhost:7400"],
    ["a list of addresses", () => addressList("ringhold://a:1,b"), ["a:1", "b:7400"]],
    ["a TLS url", () => serverAddress("ringholds://a:1"), { seeds: ["a:1"], isTls: true }],
    ["a number", () => finiteNumber("-0.5"), -0.5],
  ])("accept %s", (_name, call, expected) => {
    expect(call()).toEqual(expected);
  });

  test.each<[string, () => unknown]>([
    ["an integer out of range", () => integer(1, 64)("65")],
    ["a fraction for an integer", () => integer(1, 64)("1.5")],
    ["an empty integer", () => integer(0, 64)("")],
    ["a duration of 0", () => duration("0")],
    ["a negative duration", () => duration("-1s")],
    ["words for a duration", () => duration("soon")],
    ["words for a size", () => size("big")],
    ["a port too high", () => address("a:70000")],
    ["an empty part in a list", () => addressList("a,,b")],
    ["an empty number", () => finiteNumber(" ")],
    ["infinity", () => finiteNumber("Infinity")],
  ])("refuse %s", (_name, call) => {
    expect(call).toThrow(/^It must be/);
  });
});

describe("sharedNodeArguments", () => {
  test("gives flags that parse to the same values again", () => {
    const args = [
      "--memory",
      "64mb",
      "--replicas",
      "2",
      "--write",
      "all",
      "--dead-grace",
      "5s",
      "--log-level",
      "warn",
    ];
    const flags = parse(withSharedNodeFlags(new Command()), ...args) as unknown as SharedNodeFlags;

    expect(parse(withSharedNodeFlags(new Command()), ...sharedNodeArguments(flags))).toEqual(flags);
  });
});
