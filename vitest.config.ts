import { defineConfig } from "vitest/config";

// Tests of real processes share the machine with the processes they start: they run after all others, one file at a time.
const realProcesses = ["test/integration/**/*.test.ts", "test/cli/{commands,node,usage}.test.ts"];

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: realProcesses,
          testTimeout: 30_000,
          hookTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: "processes",
          include: realProcesses,
          testTimeout: 60_000,
          hookTimeout: 120_000,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
