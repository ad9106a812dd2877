// Wrong usage of the real command: exit code 2 and one line that names what was wrong. Nothing of this needs a node.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { waitFor } from "../../cluster/wait.ts";
import { COMMAND, ensureBuilt } from "../support/ensure-built.ts";
import { ringhold } from "../support/run-command.ts";

const SET_ADA = ["user", "set", "ada", "--allow", "read"];

let root: string;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "ringhold-test-"));
  writeFileSync(join(root, "empty"), "\n");
  await ensureBuilt();
}, 120_000);
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

describe("ringhold", () => {
  test.each<[string, readonly string[], NodeJS.ProcessEnv, RegExp]>([
    ["an unknown command", ["nodes"], {}, /unknown command 'nodes' \(Did you mean node\?\)/],
    ["an unknown option", ["status", "--wtach"], {}, /unknown option '--wtach' \(Did you mean --watch\?\)/],
    ["a missing argument", ["get"], {}, /missing required argument 'key'/],
    ["one argument too many", ["get", "a", "b"], {}, /too many arguments/],
    [
      "a weight out of range",
      ["node", "--weight", "65"],
      {},
      /'--weight <number>' argument '65' is invalid.*from 1 to 64/,
    ],
    ["no replicas", ["node", "--replicas", "0"], {}, /'--replicas <count>' argument '0'.*from 1 to 7/],
    [
      "a port out of range",
      ["node", "--listen", "127.0.0.1:99999"],
      {},
      /'--listen <host:port>' argument '127.0.0.1:99999'.*HOST:PORT/,
    ],
    [
      "a size that is none",
      ["node", "--memory", "lots"],
      {},
      /'--memory <size>' argument 'lots'.*such as "64mb"/,
    ],
    ["too little memory", ["node", "--memory", "1kb"], {}, /--memory must be.*received 1024/],
    [
      "too little memory for any node of a cluster",
      ["cluster", "start", "--memory", "1kb"],
      {},
      /^error: option --memory must be.*received 1024/,
    ],
    [
      "ports of nodes and of Redis doors that overlap",
      ["cluster", "start", "--nodes", "2", "--port", "7400", "--redis-port", "7401"],
      {},
      /2 nodes from --port 7400 on and their Redis doors from --redis-port 7401 on would share ports/,
    ],
    ["a bad name", ["node", "--name", "a b"], {}, /--name must be.*received "a b"/],
    [
      "a mode that is none",
      ["set", "k", "v", "--write", "maybe"],
      {},
      /'--write <mode>' argument 'maybe'.*async, quorum, all/,
    ],
    ["a ttl of 0", ["set", "k", "v", "--ttl", "0"], {}, /'--ttl <duration>' argument '0'/],
    [
      "no number of nodes",
      ["cluster", "start", "--nodes", "0"],
      {},
      /'--nodes <count>' argument '0'.*from 1 to 64/,
    ],
    [
      "servers that are none",
      ["get", "k", "--server", "http://x"],
      {},
      /'--server <url>' argument 'http:\/\/x'/,
    ],
    [
      "a bad variable",
      ["node"],
      { RINGHOLD_WEIGHT: "heavy" },
      /'--weight <number>' value 'heavy' from env 'RINGHOLD_WEIGHT'/,
    ],
    ["clear without --yes", ["clear"], {}, /say --yes/],
    [
      "variables that are empty, and so not set,",
      ["node", "--memory", "1kb"],
      { RINGHOLD_JOIN: "", RINGHOLD_ZONE: "", RINGHOLD_WEIGHT: "", RINGHOLD_BOOTSTRAP: "" },
      /--memory must be/,
    ],
    [
      "ports that do not fit",
      ["cluster", "start", "--port", "65533"],
      {},
      /5 nodes from --port 65533 on do not fit below 65536/,
    ],
    [
      "half of the TLS files",
      ["node", "--tls-cert", "x"],
      {},
      /--tls-cert, --tls-key and --tls-ca go together/,
    ],
    [
      "a secret file that is not there",
      ["node", "--secret-file", "/no/such"],
      {},
      /--secret-file \/no\/such cannot be read \(ENOENT\)/,
    ],
    ["VALUE that is no JSON", ["set", "k", "{", "--as", "json"], {}, /VALUE is no JSON/],
    ["VALUE that is no number", ["set", "k", "abc", "--as", "number"], {}, /VALUE is no number: "abc"/],
    [
      "a timeout beyond all timers",
      ["status", "--timeout", "30d"],
      {},
      /'--timeout <duration>' argument '30d' is invalid.*at most 24 days/,
    ],
    [
      "a node on all addresses without a secret",
      ["node", "--listen", "0.0.0.0:0"],
      {},
      /Refusing to listen on 0\.0\.0\.0:0 without a secret/,
    ],
    ["a secret too short", ["node"], { RINGHOLD_SECRET: "hush-hush" }, /RINGHOLD_SECRET must be from 16/],
  ])("exits 2 with one line when given %s", async (_name, args, env, line) => {
    const { code, stdout, stderr } = await ringhold(args, { env });

    expect(stderr).toMatch(line);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).not.toContain("hush-hush");
  });

  test("names the file when a secret file is empty", async () => {
    const { code, stderr } = await ringhold(["node", "--secret-file", join(root, "empty")]);

    expect(stderr).toMatch(/^error: --secret-file .*empty is empty\n$/);
    expect(code).toBe(2);
  });

  test("exits 0 when asked for help or the version, and 2 with help on stderr when asked nothing", async () => {
    const [help, version, nothing, ...sameHelps] = await Promise.all([
      ringhold(["set", "--help"]),
      ringhold(["--version"]),
      ringhold([]),
      ringhold(["set", "-h"]),
      ringhold(["help", "set"]),
      ringhold(["cluster", "help", "start"]),
      ringhold(["cluster", "help"]),
    ]);

    expect([help.code, version.code, nothing.code]).toEqual([0, 0, 2]);
    expect(sameHelps.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(sameHelps.slice(0, 2).map(({ stdout }) => stdout)).toEqual([help.stdout, help.stdout]);
    expect(help.stdout.replaceAll(/\s+/g, " ")).toContain("(default: 127.0.0.1:7400, env: RINGHOLD_URL)");
    expect(help.stdout).toContain("RINGHOLD_IF_ABSENT");
    expect(help.stdout).toContain("--if-absent");
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect([nothing.stdout, nothing.stderr.includes("Usage: ringhold")]).toEqual(["", true]);
  });

  test("exits 1 with one sentence when there is no local cluster", async () => {
    for (const args of [["status"], ["stop"], ["kill", "node-1"]]) {
      const { code, stderr } = await ringhold(["cluster", ...args], { cwd: root });

      expect(stderr).toMatch(/^error: No local cluster in .*: start one with `ringhold cluster start`.*\n$/);
      expect(code).toBe(1);
    }
  });

  test("says what went wrong as JSON when asked for JSON", async () => {
    const { code, stderr } = await ringhold(["cluster", "status", "--json"], { cwd: root });

    expect(JSON.parse(stderr)).toEqual({ error: { message: expect.stringMatching(/^No local cluster/) } });
    expect(code).toBe(1);

    const wrong = await ringhold(["get", "--json"]);

    expect(JSON.parse(wrong.stderr)).toEqual({ error: { message: "missing required argument 'key'" } });
    expect(wrong.code).toBe(2);

    const byVariable = await ringhold(["get"], { env: { RINGHOLD_JSON: "1" } });

    expect(byVariable.stderr).toBe(wrong.stderr);
  });

  test("watches as JSON also while no node answers", async () => {
    const watching = spawn(
      process.execPath,
      [COMMAND, "status", "--watch", "--json", "--server", "127.0.0.1:1"],
      {
        stdio: ["ignore", "pipe", "ignore"],
      },
    );
    const [line] = (await once(watching.stdout, "data")) as [Buffer];
    watching.kill();

    expect(JSON.parse(line.toString())).toEqual({
      error: { message: expect.stringMatching(/^No node answered: 127/), code: "ERR_UNREACHABLE" },
    });
  });

  test("edits secrets and users with answers in JSON when asked for JSON", async () => {
    const secretFile = join(root, "secret");
    const usersFile = join(root, "users.json");
    const made = await ringhold(["secret", "new", secretFile, "--json"]);
    const flags = ["--users-file", usersFile, "--json"];
    const set = await ringhold(["user", "set", "ada", "--allow", "read", ...flags, "--prefix", "a:"]);
    const list = await ringhold(["user", "list", ...flags]);
    const gone = await ringhold(["user", "remove", "ada", ...flags]);

    expect(JSON.parse(made.stdout)).toEqual({ file: secretFile, fingerprints: [expect.any(String)] });
    expect(JSON.parse(set.stdout)).toEqual({ name: "ada", secret: expect.any(String) });
    expect(JSON.parse(list.stdout)).toMatchObject({ name: "ada", prefixes: ["a:"] });
    expect(JSON.parse(gone.stdout)).toEqual({ removed: "ada" });
  });

  test("finds its benchmarks, which list their options when one is wrong", async () => {
    for (const name of ["load", "rebalance", "failover"]) {
      const { code, stderr } = await ringhold(["bench", name, "--frob"]);

      expect(stderr).toMatch(/Unknown option '--frob'/);
      expect(stderr).toMatch(new RegExp(`usage: ringhold bench ${name}`, "i"));
      expect(code).toBe(2);
    }
  });

  test("gives a new user a secret of its own, also where RINGHOLD_SECRET_FILE names the cluster's", async () => {
    const secretFile = join(root, "cluster.secret");
    const usersFile = join(root, "web.json");
    await ringhold(["secret", "new", secretFile]);
    const made = await ringhold(
      ["user", "set", "web", "--allow", "read", "--prefix", "web:", "--users-file", usersFile],
      { env: { RINGHOLD_SECRET_FILE: secretFile } },
    );

    expect(made.code).toBe(0);
    expect(made.stdout).toMatch(/^[0-9a-f]{64}\n$/);
    expect(made.stdout.trim()).not.toBe(readFileSync(secretFile, "utf8").trim());
  });

  test.each(["RINGHOLD_SECRET", "RINGHOLD_SECRET_FILE"])(
    "exits 2 when a user is to have the cluster's secret of %s",
    async (variable) => {
      const clusterFile = join(root, `${variable}.cluster`);
      const userFile = join(root, `${variable}.user`);
      const usersFile = join(root, `${variable}.json`);
      const secret = "0123456789abcdef";
      writeFileSync(clusterFile, `${secret}\nfedcba9876543210\n`);
      writeFileSync(userFile, `${secret}\n`);

      const { code, stdout, stderr } = await ringhold(
        [...SET_ADA, "--prefix", "a:", "--users-file", usersFile, "--secret-file", userFile],
        { env: { [variable]: variable === "RINGHOLD_SECRET" ? secret : clusterFile } },
      );

      expect(stderr).toMatch(/^error: --secret-file .* holds the cluster's secret.*\n$/);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).not.toContain(secret);
      expect(existsSync(usersFile)).toBe(false);
    },
  );

  test("takes the prefix of a user from RINGHOLD_PREFIX", async () => {
    const { code, stderr } = await ringhold([...SET_ADA, "--users-file", join(root, "prefix.json")], {
      env: { RINGHOLD_PREFIX: "a:" },
    });

    expect([code, stderr]).toEqual([0, ""]);
  });

  test.each(["load", "rebalance", "failover"])(
    "says all options of bench %s when asked for help",
    async (name) => {
      const { code, stdout } = await ringhold(["bench", name, "--help"]);

      expect(code).toBe(0);
      expect(stdout).toContain("--rate");
    },
  );

  test.each<[string, readonly string[], RegExp]>([
    ["a warm-up that is no number", ["--warmup", "abc"], /--warmup must be a number/],
    ["half a node", ["--nodes", "1.5"], /--nodes must be/],
    ["no caller", ["--outstanding", "0"], /--outstanding must be/],
    ["a server that is none", ["--server", "http://x"], /--server must be/],
    ["another cache's client and no servers", ["--client", "ioredis"], /--client ioredis needs --server/],
  ])(
    "exits 2 when bench load is given %s",
    async (_name, args, line) => {
      const { code, stderr } = await ringhold(["bench", "load", "--keys", "10", "--seconds", "1", ...args]);

      expect(stderr).toMatch(line);
      expect(code).toBe(2);
    },
    90_000,
  );

  test("leaves no process behind when bench load is told to end", async () => {
    const args = ["bench", "load", "--client", "ioredis", "--server", "127.0.0.1:1"];
    // In a group of its own, which is empty once both have ended.
    const child = spawn(process.execPath, [COMMAND, ...args], { stdio: "ignore", detached: true });
    await waitFor(() => hasChild(child.pid!), { what: "the client process to be there" });
    child.kill("SIGTERM");
    await once(child, "exit");
    try {
      await waitFor(() => isGroupGone(child.pid!), { what: "the client process to end" });
    } finally {
      if (!isGroupGone(child.pid!)) process.kill(-child.pid!, "SIGKILL");
    }
  }, 90_000);

  test("names no flag that there is not when a secret is too short", async () => {
    const file = join(root, "short");
    writeFileSync(file, "hush\n");
    const inFile = await ringhold(["node", "--secret-file", file]);
    const inVariable = await ringhold(["node"], { env: { RINGHOLD_SECRET: "hush" } });

    expect(inFile.stderr).toContain("--secret-file");
    expect(inVariable.stderr).toContain("RINGHOLD_SECRET");
    for (const { stderr } of [inFile, inVariable]) expect(stderr).not.toMatch(/--secret /);
  });

  test("says which flag chooses another port when a port for Redis clients is in use", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const flags = ["--nodes", "1", "--port", "0", "--state", join(root, "redis")];

    const { code, stderr } = await ringhold(["cluster", "start", ...flags, "--redis-port", String(port)]);
    server.close();

    expect(stderr).toContain(`Port ${port} is in use`);
    expect(stderr).toContain("--redis-port");
    expect(code).toBe(1);
  });
});

function hasChild(pid: number): boolean {
  const parents = execFileSync("ps", ["-A", "-o", "ppid="], { encoding: "utf8" }).trim().split(/\s+/);
  return parents.includes(String(pid));
}

/** Zombies, whom nobody may wait for, do not count. */
function isGroupGone(group: number): boolean {
  const lines = execFileSync("ps", ["-A", "-o", "pgid=,state="], { encoding: "utf8" }).trim().split("\n");
  return !lines.some((line) => {
    const [id, state = ""] = line.trim().split(/\s+/);
    return Number(id) === group && !state.startsWith("Z");
  });
}
