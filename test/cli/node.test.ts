// `ringhold node` as a process: ready line, signals, its owner, and addresses that are taken.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { askNode } from "../../cluster/node-http.ts";
import { identifyProcess, processState } from "../../cluster/os-process.ts";
import { waitFor } from "../../cluster/wait.ts";
import { COMMAND, ensureBuilt } from "../support/ensure-built.ts";
import { ringhold } from "../support/run-command.ts";

const children: ChildProcess[] = [];

beforeAll(ensureBuilt, 120_000);
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

interface StartedNode {
  readonly child: ChildProcess;
  readonly readyLine: string;
  readonly address: string;
}

function startNode(...args: string[]): Promise<StartedNode> {
  return startWith([process.execPath, COMMAND], args);
}

async function startWith(
  [program, ...words]: [string, ...string[]],
  args: string[],
  stderr: "ignore" | number = "ignore",
): Promise<StartedNode> {
  const child = spawn(program, [...words, "node", "--listen", "127.0.0.1:0", ...args], {
    stdio: ["ignore", "pipe", stderr],
  });
  children.push(child);
  let output = "";
  child.stdout!.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const readyLine = await waitFor(() => (output.includes("\n") ? output.trim() : undefined), {
    what: "the ready line",
    intervalMs: 5,
  });
  return { child, readyLine, address: /127\.0\.0\.1:\d+/.exec(readyLine)![0] };
}

describe("ringhold node", () => {
  test("prints its id and url when it is ready, and answers the probes", async () => {
    const { readyLine, address } = await startNode("--name", "solo");

    expect(readyLine).toBe(`ready solo ringhold://${address}`);
    for (const path of ["/healthz", "/readyz", "/status", "/metrics"]) {
      expect((await askNode(address, path)).status).toBe(200);
    }
    // Alone, it has one copy of everything: losing it would lose all.
    expect((await askNode(address, "/safez")).status).toBe(503);
  });

  test("prints the ready line as JSON when asked", async () => {
    const { readyLine, address } = await startNode("--name", "solo", "--json");

    expect(JSON.parse(readyLine)).toEqual({ ready: true, id: "solo", url: `ringhold://${address}` });
  });

  test.runIf(existsSync("/dev/full"))(
    "starts, leaves and ends in order while its log cannot be written",
    async () => {
      const full = openSync("/dev/full", "w");
      const { child, address } = await startWith([process.execPath, COMMAND], ["--leave-on-stop"], full);
      closeSync(full);
      expect((await askNode(address, "/readyz")).status).toBe(200);

      child.kill("SIGTERM");

      expect(await once(child, "exit")).toEqual([0, null]);
    },
  );

  test.each(["SIGTERM", "SIGINT"] as const)("ends with 0 on %s", async (signal) => {
    const { child } = await startNode();

    child.kill(signal);

    expect(await once(child, "exit")).toEqual([0, null]);
  });

  test("ends in order when npx, which runs it in a shell, has ended that shell", async () => {
    // npx itself would install the package into its cache first.
    const variables = ["npm_lifecycle_event=npx", "npm_lifecycle_script=ringhold"];
    const shell = ["sh", "-c", '"$@"; :', "sh"];
    const program = ["env", ...variables, ...shell, process.execPath, COMMAND] as const;
    const { child, address } = await startWith([...program], ["--name", "solo"]);

    child.kill("SIGTERM");
    await once(child, "exit");

    const isGone = async () => (await askNode(address, "/healthz").catch(() => undefined)) === undefined;
    await waitFor(isGone, { what: "the node to end" });
  });

  test("stops when the process that owns it is gone, and leaves SIGINT to it", async () => {
    const owner = spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)"], { stdio: "ignore" });
    children.push(owner);
    const { child } = await startNode("--owner-pid", String(owner.pid));
    const identity = identifyProcess(child.pid!)!;
    child.kill("SIGINT");

    owner.kill("SIGKILL");

    expect(await once(child, "exit")).toEqual([0, null]);
    expect(processState(identity)).toBe("gone");
  });

  test("exits 1 and names the address when it is taken", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };

    const { code, stderr } = await ringhold(["node", "--listen", `127.0.0.1:${port}`]);
    server.close();

    expect(stderr).toContain(`127.0.0.1:${port}`);
    expect(code).toBe(1);
  });
});
