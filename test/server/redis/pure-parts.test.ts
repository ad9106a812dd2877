// The small pure parts of the Redis door: patterns, numbers, replies as bytes, the table of commands, the map of a cluster.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MemberId, Slot } from "../../../src/base/ids.ts";
import type { ClusterView } from "../../../src/core/replication/cluster-view.ts";
import { Ring, ringParameters } from "../../../src/core/ring/ring.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { ClusterMap } from "../../../src/server/redis/cluster-map.ts";
import { COMMANDS, fitsArity, keyIndexes } from "../../../src/server/redis/command-table.ts";
import { globPrefix, matchesGlob } from "../../../src/server/redis/glob.ts";
import {
  addDecimals,
  type Decimal,
  formatDecimal,
  parseDecimal,
  parseInt64,
} from "../../../src/server/redis/numbers.ts";
import {
  ErrorReply,
  ManyReplies,
  MapReply,
  NULL_ARRAY,
  OK,
  PushReply,
  type Reply,
  ReplyWriter,
  SetReply,
  VerbatimReply,
} from "../../../src/server/redis/reply.ts";

describe("matchesGlob", () => {
  test.each([
    ["*", "", true],
    ["h?llo", "hello", true],
    ["h?llo", "hllo", false],
    ["h*llo", "heeello", true],
    ["h[ae]llo", "hallo", true],
    ["h[^e]llo", "hello", false],
    ["h[a-c]llo", "hbllo", true],
    ["h[c-a]llo", "hbllo", true],
    ["\\*", "*", true],
    ["\\*", "x", false],
    ["[\\]]", "]", true],
    ["a*b*c", "axxbxxc", true],
    ["a*b*c", "axxcxxb", false],
    ["", "", true],
    ["", "a", false],
    ["[abc", "b", true],
    ["a\\", "a\\", true],
  ])("matches %j against %j: %s", (pattern, text, isMatch) => {
    expect(matchesGlob(pattern, text)).toBe(isMatch);
  });

  test("takes no time for patterns that made Redis stand still", () => {
    const startMs = performance.now();

    expect(matchesGlob(`${"a*".repeat(5_000)}b`, "a".repeat(5_000))).toBe(false);
    // Looked through for each character anew, the class would take 20 s.
    expect(matchesGlob(`*[${"a".repeat(100_000)}]z`, "q".repeat(30_000))).toBe(false);
    expect(performance.now() - startMs).toBeLessThan(1_000);
  });

  test("matches nothing that does not begin with the prefix", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("a", "b", "*", "?", "[", "]", "\\") }),
        fc.stringMatching(/^[ab]{0,6}$/),
        (pattern, text) => {
          if (matchesGlob(pattern, text)) expect(text.startsWith(globPrefix(pattern))).toBe(true);
        },
      ),
    );
  });
});

describe("numbers", () => {
  test.each([
    ["0", 0n],
    ["-1", -1n],
    ["9223372036854775807", 9223372036854775807n],
    ["9223372036854775808", undefined],
    ["01", undefined],
    ["+1", undefined],
    [" 1", undefined],
    ["-0", undefined],
    ["", undefined],
    ["1e3", undefined],
  ])("parseInt64 reads %j as %s", (text, value) => {
    expect(parseInt64(text)).toBe(value);
  });

  test.each([
    ["0.1", "0.2", "0.3"],
    ["3.0e3", "200", "3200"],
    ["1.5", "-1.5", "0"],
    ["-1", "0.5", "-0.5"],
    ["0.024390243902439025", "0", "0.02439024390243902"],
    ["17179869184", "1.5", "17179869185.5"],
  ])("adds %s and %s to %s", (a, b, sum) => {
    expect(formatDecimal(addDecimals(parseDecimal(a) as Decimal, parseDecimal(b) as Decimal))).toBe(sum);
  });

  test.each(["", "abc", "1.2.3", "1 ", "0x10", "nan", ".", "1e"])("parseDecimal refuses %j", (text) => {
    expect(parseDecimal(text)).toBeUndefined();
  });
});

describe("ReplyWriter", () => {
  const bytesOf = (reply: Reply, protocol: 2 | 3): string => {
    const writer = new ReplyWriter();
    writer.write(reply, protocol);
    return writer.take().toString();
  };

  test.each<[string, Reply, string, string]>([
    ["OK", OK, "+OK\r\n", "+OK\r\n"],
    ["an integer", -5, ":-5\r\n", ":-5\r\n"],
    ["a large integer", 2n ** 63n - 1n, ":9223372036854775807\r\n", ":9223372036854775807\r\n"],
    ["text", "grüß", "$6\r\ngrüß\r\n", "$6\r\ngrüß\r\n"],
    ["nothing", null, "$-1\r\n", "_\r\n"],
    ["no array", NULL_ARRAY, "*-1\r\n", "_\r\n"],
    ["an array", [1, ["a"]], "*2\r\n:1\r\n*1\r\n$1\r\na\r\n", "*2\r\n:1\r\n*1\r\n$1\r\na\r\n"],
    ["a map", new MapReply(["a", 1]), "*2\r\n$1\r\na\r\n:1\r\n", "%1\r\n$1\r\na\r\n:1\r\n"],
    ["a set", new SetReply([1]), "*1\r\n:1\r\n", "~1\r\n:1\r\n"],
    ["a push", new PushReply([1]), "*1\r\n:1\r\n", ">1\r\n:1\r\n"],
    ["several", new ManyReplies([1, 2]), ":1\r\n:2\r\n", ":1\r\n:2\r\n"],
    ["text for people", new VerbatimReply("a"), "$1\r\na\r\n", "=5\r\ntxt:a\r\n"],
    ["an error with line ends", new ErrorReply("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"],
  ])("writes %s", (_name, reply, resp2, resp3) => {
    expect(bytesOf(reply, 2)).toBe(resp2);
    expect(bytesOf(reply, 3)).toBe(resp3);
  });

  test("hands out what later replies do not change", () => {
    const writer = new ReplyWriter();
    writer.write("first", 2);
    const first = writer.take();
    for (let index = 0; index < 5_000; index++) writer.write("x".repeat(index % 60), 2);

    expect(first.toString()).toBe("$5\r\nfirst\r\n");
    expect(writer.length).toBeGreaterThan(100_000);
  });
});

describe("COMMANDS", () => {
  test("have names in lower case and keys within their arity", () => {
    for (const spec of COMMANDS.values()) {
      const count = Math.abs(spec.arity);
      expect(spec.name).toBe(spec.name.toLowerCase());
      expect(fitsArity(spec, count)).toBe(true);
      expect(fitsArity(spec, count - 1)).toBe(false);
      expect(fitsArity(spec, count + 1)).toBe(spec.arity < 0);
      for (const index of keyIndexes(spec, count)) expect(index).toBeLessThan(count);
    }
  });

  test("find their keys", () => {
    const indexes = (name: string, count: number) => keyIndexes(COMMANDS.get(name)!, count);

    expect(indexes("get", 2)).toEqual([1]);
    expect(indexes("mset", 7)).toEqual([1, 3, 5]);
    expect(indexes("del", 4)).toEqual([1, 2, 3]);
    expect(indexes("rename", 3)).toEqual([1, 2]);
    expect(indexes("ping", 1)).toEqual([]);
  });
});

describe("ClusterMap", async () => {
  const hashes = await loadHashes();
  const members = ["a", "b", "c"].map((id) => ({ id: id as MemberId, weight: 1, zone: "" }));
  const ring = Ring.build(members, ringParameters(3), hashes);
  const down = new Set<string>();
  const view: ClusterView = {
    self: "a" as MemberId,
    ring,
    previousRing: undefined,
    isUsable: (member) => !down.has(member),
    mayCount: () => true,
    isMember: () => true,
    isCondemned: () => false,
    hasLeft: () => false,
    isSettled: true,
    newcomers: () => [],
    toPeerMono: () => 0,
  };
  const slotsShown = (map: ClusterMap): number =>
    map
      .nodes()
      .reduce((sum, { ranges }) => sum + ranges.reduce((n, [first, last]) => n + last - first + 1, 0), 0);

  test("shows every slot once, at its owner where that has a door", () => {
    const map = new ClusterMap(view, { host: "h", port: 1 });
    map.setDoor("b" as MemberId, "h:2");
    map.setDoor("c" as MemberId, "h:3");

    expect(map.nodes().map(({ port }) => port)).toEqual([1, 2, 3]);
    expect(slotsShown(map)).toBe(16_384);
    for (const slot of map.ownSlots()) expect(ring.ownerOf(slot)).toBe("a");
    expect(map.ownSlots()).toHaveLength(ring.slotsOwnedBy("a" as MemberId));
  });

  test("gives the slots of a member without a door, or that is down, to others", () => {
    const map = new ClusterMap(view, { host: "h", port: 1 });
    map.setDoor("b" as MemberId, "h:2");

    expect(map.nodes()).toHaveLength(2);
    expect(slotsShown(map)).toBe(16_384);
    const epoch = map.epoch;
    down.add("b");
    expect(map.nodes()).toHaveLength(1);
    expect(slotsShown(map)).toBe(16_384);
    expect(map.epoch).toBeGreaterThan(epoch);
    down.clear();
  });

  test("shows all as its own while there is no ring", () => {
    const map = new ClusterMap({ ...view, ring: undefined }, { host: "h", port: 1 });

    expect(map.nodes()).toHaveLength(1);
    expect(map.ownSlots()).toEqual([] satisfies Slot[]);
  });
});
