import { describe, expect, test } from "vitest";
import {
  formatAddress,
  isLoopbackHost,
  parseAddress,
  parseSeeds,
  SEEDS_MAX,
  splitLogin,
} from "../../src/base/address.ts";

describe("parseAddress", () => {
  test.each([
    ["127.0.0.1:7401", { host: "127.0.0.1", port: 7401 }],
    ["localhost", { host: "localhost", port: 7400 }],
    [" node-1.example.com:0 ", { host: "node-1.example.com", port: 0 }],
    ["[::1]:7400", { host: "::1", port: 7400 }],
  ])("reads %s", (text, expected) => {
    expect(parseAddress(text)).toEqual(expected);
  });

  test.each([
    "",
    ":7400",
    "::1",
    "::1:7400",
    "a:65536",
    "a:-1",
    "a:b",
    "a:1:2",
    "http://a:1",
    "a b:1",
    "a:1/x",
  ])("refuses %j", (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  test.each(["127.0.0.1:7401", "[::1]:7400", "a.b-c_d:65535"])(
    "is undone by formatAddress for %s",
    (text) => {
      expect(formatAddress(parseAddress(text)!)).toBe(text);
    },
  );
});

describe("parseSeeds", () => {
  test.each([
    ["a:1", ["a:1"]],
    ["a:1,b", ["a:1", "b:7400"]],
    ["ringhold://a:1,b:2/", ["a:1", "b:2"]],
    [
      ["a:1", "ringhold://b:2,c:3", "a:1"],
      ["a:1", "b:2", "c:3"],
    ],
    [[], []],
  ])("splits %j", (input, seeds) => {
    expect(parseSeeds(input)).toEqual({ seeds });
  });

  test.each([
    ["a:1,,b:2", ""],
    ["a:0", "a:0"],
    ["http://a:1", "http://a:1"],
  ])("names the bad part of %j", (input, bad) => {
    expect(parseSeeds(input)).toEqual({ bad });
  });

  test("refuses a list beyond its bound", () => {
    const seeds = Array.from({ length: SEEDS_MAX + 1 }, (_, index) => `a:${index + 1}`);

    expect(parseSeeds(seeds)).toHaveProperty("bad");
    expect(parseSeeds(seeds.slice(1))).toHaveProperty("seeds");
  });
});

describe("isLoopbackHost", () => {
  test.each(["127.0.0.1", "127.255.255.255", "::1", "localhost"])("accepts %s", (host) => {
    expect(isLoopbackHost(host)).toBe(true);
  });

  test.each([
    "0.0.0.0",
    "::",
    "10.0.0.1",
    "127.0.0.256",
    "127.1",
    "127.0.0.1.example.com",
    "a127.0.0.1",
    "",
    "LOCALHOST.",
  ])("refuses %j", (host) => {
    expect(isLoopbackHost(host)).toBe(false);
  });
});

describe("splitLogin", () => {
  test("takes user and secret out of a URL, as they stand there", () => {
    expect(splitLogin("ringhold://api:a%3Ab@h:1,k:2")).toEqual({
      user: "api",
      secret: "a%3Ab",
      url: "ringhold://h:1,k:2",
    });
    expect(splitLogin("ringholds://api:s@h:1")?.url).toBe("ringholds://h:1");
  });

  test.each([
    "h:1",
    "ringhold://h:1",
    "api:s@h:1",
    "ringhold://api@h:1",
    "ringhold://:s@h:1",
    "ringhold://api:@h:1",
  ])("finds none in %j", (text) => {
    expect(splitLogin(text)).toBeUndefined();
  });
});
