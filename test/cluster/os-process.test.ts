// Processes of this machine, seen and signalled by identity.

import { type ChildProcess, spawn } from "node:child_process";
import { afterEach, describe, expect, test } from "vitest";
import { identifyProcess, processState, residentBytesOf, signalProcess } from "../../cluster/os-process.ts";
import { waitFor } from "../../cluster/wait.ts";

const children: ChildProcess[] = [];

function startIdle(): number {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)"], { stdio: "ignore" });
  children.push(child);
  return child.pid!;
}

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

describe("processState", () => {
  test("follows a process from running through paused to gone", async () => {
    const identity = identifyProcess(startIdle())!;
    expect(processState(identity)).toBe("running");

    signalProcess(identity, "SIGSTOP");
    await waitFor(() => processState(identity) === "paused", { what: "the pause" });
    signalProcess(identity, "SIGKILL");
    await waitFor(() => processState(identity) === "gone", { what: "the end" });

    expect(identifyProcess(identity.pid)).toBeUndefined();
  });

  test("says gone when the id belongs to another process by now", () => {
    const pid = startIdle();

    expect(processState({ pid, startTime: "1" })).toBe("gone");
    expect(signalProcess({ pid, startTime: "1" }, "SIGKILL")).toBe(false);
    expect(processState(identifyProcess(pid)!)).toBe("running");
  });
});

test("residentBytesOf sees what this process holds, and nothing of one that is not there", () => {
  const before = residentBytesOf(process.pid);
  const held = new Uint8Array(64 * 2 ** 20).fill(1);

  expect(residentBytesOf(process.pid) - before).toBeGreaterThan(held.length / 2);
  expect(residentBytesOf(2 ** 22 + 1)).toBe(0);
});
