// The file that remembers a cluster.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { LocalCluster } from "../../cluster/local-cluster.ts";
import { identifyProcess } from "../../cluster/os-process.ts";
import { type ClusterState, livingNodes, StateDirectory } from "../../cluster/state-directory.ts";

let root: string;
const state: ClusterState = {
  format: 1,
  id: "0123456789abcdef",
  basePort: 7400,
  nodeArguments: [],
  nodes: [{ name: "node-1", port: 7400 }],
};

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "ringhold-test-"));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

describe("StateDirectory", () => {
  test("gives back what was written, and nothing after it was cleared", () => {
    const directory = new StateDirectory(join(root, "state"));
    expect(directory.read()).toBeUndefined();

    directory.write(state);
    expect(directory.read()).toEqual(state);
    directory.update((now) => ({ ...now, nodes: [] }));
    expect(directory.demand().nodes).toEqual([]);

    directory.removeAll();
    expect(existsSync(join(root, "state"))).toBe(false);
  });

  test("says what to do when there is no cluster, or the file is something else", () => {
    const directory = new StateDirectory(root);
    expect(() => directory.demand()).toThrow(
      /^No local cluster in .*: start one with `ringhold cluster start`/,
    );

    writeFileSync(join(root, "cluster.json"), "{");
    expect(() => directory.read()).toThrow(/is not the state of a local cluster: remove it, or name another/);
  });

  // Other systems than Linux have no such place.
  test.skipIf(!existsSync("/proc/self"))("says so where no directory can be made", () => {
    const directory = new StateDirectory("/proc/ringhold/state");

    expect(() => directory.write(state)).toThrow(
      /^Cannot write to the state directory \/proc\/ringhold\/state \(ENOENT\)/,
    );
  });

  test("counts as living only nodes whose very process still runs", () => {
    const self = identifyProcess(process.pid)!;
    const nodes = [
      { name: "node-1", port: 1, process: self },
      { name: "node-2", port: 2, process: { ...self, startTime: "another" } },
      { name: "node-3", port: 3 },
    ];

    expect(livingNodes({ ...state, nodes }).map((node) => node.name)).toEqual(["node-1"]);
  });
});

describe("LocalCluster", () => {
  test("open says what to do when the processes are gone", () => {
    new StateDirectory(root).write(state);

    expect(() => LocalCluster.open(root)).toThrow(/is not running any more: start it again with/);
  });

  test("start refuses when a cluster runs in the directory already", async () => {
    const self = identifyProcess(process.pid)!;
    new StateDirectory(root).write({ ...state, nodes: [{ name: "node-1", port: 1, process: self }] });

    await expect(LocalCluster.start({ stateDirectory: root })).rejects.toThrow(
      /A cluster is already running in .* \(node-1\): stop it with `ringhold cluster stop`/,
    );
  });
});
