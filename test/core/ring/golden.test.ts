// The ring against committed tables (R6). When this fails, either the change is a mistake or it is a new HASH_VERSION: nodes of
// the old and the new version would disagree about who keeps what.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { HASH_VERSION, Ring, ringParameters } from "../../../src/core/ring/ring.ts";
import { loadHashes } from "../../../src/io/hashes.ts";
import { GOLDEN_FILE, GOLDEN_RINGS, goldenOf } from "./golden.ts";

const hashes = await loadHashes();
const golden = JSON.parse(readFileSync(GOLDEN_FILE, "utf8")) as Record<string, unknown>;

describe("Golden rings", () => {
  test("are of the present hash version", () => {
    expect(HASH_VERSION).toBe(1);
    expect(Object.keys(golden)).toEqual(Object.keys(GOLDEN_RINGS));
  });

  test.each(Object.entries(GOLDEN_RINGS))(
    "are what Ring.build computes for %s",
    (name, { members, replicas }) => {
      const ring = Ring.build(members, ringParameters(replicas), hashes);

      expect({ members, replicas, ...goldenOf(ring, hashes) }).toEqual(golden[name]);
    },
  );
});
