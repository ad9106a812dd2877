import { defineConfig } from "vitest/config";
import { isScaled, scaleSource } from "./test/sim/scaled/constants.ts";

// Tests of real processes share the machine with the processes they start: they run after all others.
const realProcesses = ["test/integration/**/*.test.ts", "test/cli/{commands,node,security,usage}.test.ts"];

// Those that load a whole cluster and hold it to times run last, one file at a time.
const underLoad = ["test/integration/{fault-tour,resilience,rotation}.test.ts"];

// They wait for processes to start and to end.
const patient = { testTimeout: 60_000, hookTimeout: 120_000 };

// The simulator's tests run a scaled-down build (test/sim/scaled/constants.ts says why).
const simulated = ["test/sim/**/*.test.ts"];

const scaledDown = {
  name: "scaled-down",
  transform: (code: string, url: string) => (isScaled(url) ? scaleSource(url, code) : undefined),
};

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [...realProcesses, ...simulated],
          testTimeout: 30_000,
          hookTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        plugins: [scaledDown],
        test: {
          name: "simulated",
          include: simulated,
          testTimeout: 60_000,
          hookTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: "processes",
          include: realProcesses,
          exclude: underLoad,
          ...patient,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "under-load",
          include: underLoad,
          ...patient,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
