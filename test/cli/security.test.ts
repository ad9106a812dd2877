// The commands of the page on security, run as they stand there; and a secret that must be found nowhere but in its file.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { findFreePorts } from "../../cluster/free-port.ts";
import { askNode } from "../../cluster/node-http.ts";
import { waitFor } from "../../cluster/wait.ts";
import { CacheError, connect } from "../../src/index.ts";
import { COMMAND, ensureBuilt, ROOT } from "../support/ensure-built.ts";
import { RawRedis } from "../support/raw-redis.ts";

const children: ChildProcess[] = [];
let folder = "";

beforeAll(ensureBuilt, 120_000);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringhold-security-"));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

/** The commands of the page's console blocks, in their order. A line that ends in \ goes on in the next. */
function commandsOfPage(): string[] {
  const page = readFileSync(join(ROOT, "src", "SECURITY.md"), "utf8");
  const blocks = [...page.matchAll(/```console\n(.*?)```/gs)].map(([, text]) =>
    text!.replaceAll("\\\n", " "),
  );
  return blocks.flatMap((text) =>
    text
      .split("\n")
      .filter((line) => line.startsWith("$ "))
      .map((line) => line.slice(2)),
  );
}

describe("The page on security", () => {
  test("sets up secrets, users and TLS with the commands that stand in it, and changes the secret", async () => {
    const [first, second] = await findFreePorts(2);
    const commands = commandsOfPage().map((line) =>
      line
        .replaceAll("npx ringhold", `"${process.execPath}" "${COMMAND}"`)
        .replaceAll("7400", String(first))
        .replaceAll("7401", String(second)),
    );
    const script = [
      "set -e",
      "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT",
      ...commands,
      "echo the end",
    ].join("\n");

    const { status, stdout, stderr } = spawnSync("bash", ["-c", script], {
      cwd: folder,
      encoding: "utf8",
      timeout: 100_000,
    });

    expect(commands.length).toBeGreaterThan(12);
    expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain("hello\n");
    expect(stdout).toContain("SAFE");
    expect(stdout.trim().endsWith("the end")).toBe(true);
  }, 120_000);
});

describe("A secret", () => {
  const CANARY = "canary-0123456789-canary";
  const USER_CANARY = "user-canary-0123456789-canary";

  test("is found in no log, page, error, argument or crash report", async () => {
    const secretFile = join(folder, "secret");
    const usersFile = join(folder, "users.json");
    const userSecret = join(folder, "user");
    writeFileSync(secretFile, `${CANARY}\n`);
    writeFileSync(userSecret, `${USER_CANARY}\n`);
    const run = (...args: string[]) => {
      const { stdout, stderr, status } = spawnSync(process.execPath, [COMMAND, ...args], {
        encoding: "utf8",
        timeout: 20_000,
      });
      return { text: stdout + stderr, status };
    };
    const made = run(
      "user",
      "set",
      "api",
      "--allow",
      "read,admin",
      "--prefix",
      "",
      "--users-file",
      usersFile,
      "--secret-file",
      userSecret,
    );
    expect(made).toEqual({ text: "", status: 0 });
    const reports = [
      "--report-uncaught-exception",
      "--report-on-signal",
      "--report-signal=SIGUSR2",
      `--report-directory=${folder}`,
    ];
    const [port, redisPort] = await findFreePorts(2);
    const files = ["--secret-file", secretFile, "--users-file", usersFile];
    const child = spawn(
      process.execPath,
      [
        ...reports,
        COMMAND,
        "node",
        "--listen",
        `127.0.0.1:${port}`,
        "--redis",
        `127.0.0.1:${redisPort}`,
        ...files,
        "--log-level",
        "debug",
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    children.push(child);
    let seen = made.text;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (seen += text));
    await waitFor(() => seen.includes("ready ") || undefined, { what: "the ready line" });
    const address = `127.0.0.1:${port}`;

    for (const login of [{ secret: CANARY }, { user: "api", secret: USER_CANARY }]) {
      for (const path of ["/status", "/metrics", "/healthz"]) {
        const { status, body } = await askNode(address, path, login);
        expect(status).toBe(200);
        seen += body;
      }
      // Half right, and used for the wrong thing.
      for (const wrong of [{ ...login, user: "nobody" }, { secret: `${login.secret}!` }]) {
        const error: unknown = await connect(`ringhold://${address}`, wrong).catch(
          (caught: unknown) => caught,
        );
        expect(error).toBeInstanceOf(CacheError);
        seen += `${JSON.stringify(error)} ${(error as Error).stack} ${JSON.stringify((error as CacheError).details)}`;
      }
      const redis = await RawRedis.open(`127.0.0.1:${redisPort}`);
      seen += await redis.ask(`auth nobody ${login.secret}`);
    }
    const redis = await RawRedis.open(`127.0.0.1:${redisPort}`);
    await redis.ask(`auth ${CANARY}`);
    for (const line of ["info", "client list", "config get *", "command", "nosuch"])
      seen += await redis.ask(line);
    seen += run("status", "--json", "--server", address, "--secret-file", secretFile).text;
    seen += run("get", "k", "--server", address, "--secret-file", secretFile, "--user", "nobody").text;
    seen += run("get", "k", "--server", `ringhold://api:${USER_CANARY.slice(0, 4)}@${address}`).text;
    // A bad file, and what the system shows of the process.
    writeFileSync(secretFile, `${CANARY}\n${CANARY}\n`);
    writeFileSync(usersFile, `{ "users": [ ${USER_CANARY}`);
    await waitFor(() => (seen.match(/credentials cannot be used/g) ?? []).length >= 2 || undefined, {
      what: "two complaints",
    });
    for (const name of ["cmdline", "environ", "status"])
      seen += readFileSync(`/proc/${child.pid}/${name}`, "utf8");
    child.kill("SIGUSR2");
    const report = await waitFor(() => reportIn(folder), { what: "a diagnostic report" });
    // Its heap is the process itself; what it writes of itself is what counts.
    seen += report;

    expect(seen.length).toBeGreaterThan(10_000);
    for (const canary of [CANARY, USER_CANARY]) expect(seen).not.toContain(canary);
  }, 90_000);

  test("is refused as an argument, without being shown", () => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [COMMAND, "get", "k", "--server", `ringhold://api:${USER_CANARY}@127.0.0.1:1`],
      {
        encoding: "utf8",
      },
    );

    expect(status).toBe(2);
    expect(stderr).toMatch(/^error: --server must not hold a secret/);
    expect(stderr).not.toContain(USER_CANARY);
  });
});

function reportIn(directory: string): string | undefined {
  const name = spawnSync("ls", [directory], { encoding: "utf8" })
    .stdout.split("\n")
    .find((file) => /^report\..*json$/.test(file));
  if (name === undefined || !existsSync(join(directory, name))) return undefined;
  const text = readFileSync(join(directory, name), "utf8");
  return text.trim().endsWith("}") ? text : undefined;
}
