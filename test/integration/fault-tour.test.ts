import { beforeAll, describe, expect, test } from "vitest";
import { isTourRowKept, runTour, type TourRow } from "../../cluster/fault-tour.ts";
import { HostNetwork } from "../../cluster/namespaces.ts";
import { ensureBuilt } from "../support/ensure-built.ts";

const SHORT = { rate: 300, keys: 1_000, seed: 5 };

function broken(rows: readonly TourRow[]): unknown {
  return rows.filter((row) => !isTourRowKept(row));
}

beforeAll(ensureBuilt, 120_000);

describe("a tour of faults", () => {
  test("loses nothing when plain processes are killed and paused", async () => {
    const { rows, obstacle } = await runTour({
      ...SHORT,
      minutes: 0.2,
      isPlain: true,
      only: ["kill", "pause"],
    });

    expect(obstacle).toBe("plain processes were asked for");
    expect(rows.length).toBeGreaterThan(0);
    expect(broken(rows)).toEqual([]);
  }, 180_000);

  test.skipIf(HostNetwork.obstacle() !== undefined)(
    "loses nothing when a host is cut off, and leaves no network behind",
    async () => {
      const { rows, obstacle } = await runTour({ ...SHORT, minutes: 0.1, only: ["isolate"] });

      expect(obstacle).toBeUndefined();
      expect(rows.map(({ fault }) => fault)).toContain("cut off, both ways");
      expect(broken(rows)).toEqual([]);
    },
    180_000,
  );
});
