// What strangers and slow readers cost a node. Question: how much processor time, memory and patience do connections take that never prove themselves,
// wrong proofs, readers that do not read, and more connections than there are file descriptors? Baseline: the same honest client on the quiet node.
//
// One node as a process of its own, an honest client here (500 gets a second, open loop), attackers in a third process.
//
//   npm run build && node dist/bench/strangers.js [flood | strangers | readers | descriptors | timing]
//
// `timing` asks what the time of a refusal tells: of user names that exist and that do not, of secrets that are wrong at their first and at their last
// byte, over HTTP and in the handshake of links, each try from an address of its own so that none is held back. |Welch's t| above 4.5 tells something.
//
// The machine's noise is in the honest client's times; quiet and attacked times are taken one after the other.

import { type ChildProcess, execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";
import { commandFile, type NodeProcess, startNodeProcess } from "../cluster/node-process.ts";
import { residentBytesOf } from "../cluster/os-process.ts";
import type { GetRequest } from "../src/core/messages.ts";
import { type Cache, connect } from "../src/index.ts";
import { clientIdentity } from "../src/io/link.ts";
import { DialerHandshake } from "../src/io/link-handshake.ts";
import { encodeFrame } from "../src/wire/codec.ts";
import { cpuMicrosOf } from "./load/cpu.ts";
import { median } from "./median.ts";
import { welchT } from "./welch.ts";

const SECRET = "a secret of more than sixteen bytes";
const IDENTITY = clientIdentity({ clusterName: "ringhold", clientId: 7 });
const HERE = fileURLToPath(import.meta.url);

function startNode(folder: string, more: readonly string[] = []): Promise<NodeProcess> {
  const secretFile = join(folder, "secret");
  writeFileSync(secretFile, SECRET);
  return startNodeProcess([
    ...["--secret-file", secretFile, "--memory", "512mb", "--value-bytes-max", "8mb"],
    ...more,
  ]);
}

/** Of a process: resident bytes, processor seconds, open descriptors. */
function usageOf(pid: number): { readonly rss: number; readonly cpu: number; readonly fds: number } {
  const cpu = cpuMicrosOf([pid]) / 1e6;
  return { rss: residentBytesOf(pid), cpu, fds: readdirSync(`/proc/${pid}/fd`).length };
}

interface Times {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly failed: number;
}

/** An honest caller's times, at a steady rate. */
async function callFor(cache: Cache, ms: number): Promise<Times> {
  const times: number[] = [];
  let failed = 0;
  const underWay: Promise<void>[] = [];
  const started = performance.now();
  for (let call = 0; performance.now() - started < ms; ) {
    while (call < (performance.now() - started) / 2) {
      const begun = performance.now();
      const made = cache.get(`k${call++ % 100}`).then(
        () => void times.push(performance.now() - begun),
        () => void failed++,
      );
      underWay.push(made);
    }
    await pause(1);
  }
  await Promise.all(underWay);
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(times.length * share)] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: times.at(-1) ?? 0, failed };
}

function attack(kind: string, address: string): ChildProcess {
  return fork(HERE, ["attack", kind, address], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
}

const mb = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MB`;
const show = ({ p50, p99, max, failed }: Times) =>
  `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, max ${max.toFixed(1)} ms, ${failed} failed`;

/** Measures the honest client and the node before and during an attack. */
async function measure(kind: string, seconds: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ringhold-strangers-"));
  const { child, address } = await startNode(folder);
  const cache = await connect(`ringhold://${address}`, { secret: SECRET, timeout: 5_000 });
  for (let index = 0; index < 100; index++) await cache.set(`k${index}`, "v".repeat(100));
  if (kind === "readers")
    for (let index = 0; index < 20; index++) await cache.set(`big${index}`, new Uint8Array(1024 * 1024));
  await callFor(cache, 3_000);
  const quietStart = usageOf(child.pid!);
  const quiet = await callFor(cache, seconds * 1_000);
  const before = usageOf(child.pid!);
  const attacker = attack(kind, address);
  const [told] = await once(attacker, "message");
  let rssMax = 0;
  let fdsMax = 0;
  const watch = setInterval(() => {
    const { rss, fds } = usageOf(child.pid!);
    rssMax = Math.max(rssMax, rss);
    fdsMax = Math.max(fdsMax, fds);
  }, 50);
  const attacked = await callFor(cache, seconds * 1_000);
  const after = usageOf(child.pid!);
  clearInterval(watch);
  attacker.send("stop");
  const [counts] = await once(attacker, "message");
  attacker.kill();
  await pause(1_000);
  const end = usageOf(child.pid!);
  const share = (from: typeof before, to: typeof before) =>
    `${(((to.cpu - from.cpu) / seconds) * 100).toFixed(0)} %`;
  console.log(`${kind}: ${JSON.stringify(told)} ${JSON.stringify(counts)}`);
  console.log(`  quiet     ${show(quiet)}; the node's processor ${share(quietStart, before)}`);
  console.log(`  attacked  ${show(attacked)}; the node's processor ${share(before, after)}`);
  console.log(
    `  memory ${mb(before.rss)}, at most ${mb(rssMax)}; descriptors ${before.fds}, at most ${fdsMax}, afterwards ${end.fds}`,
  );
  await cache.close();
  child.kill("SIGTERM");
  await once(child, "exit");
  rmSync(folder, { recursive: true });
}

/** A running node that is left with 64 descriptors (its loader needs more to start), and a thousand connections. */
async function descriptors(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ringhold-strangers-"));
  const { child, address } = await startNode(folder);
  const cache = await connect(`ringhold://${address}`, { secret: SECRET, timeout: 5_000 });
  const [host, port] = address.split(":");
  execFileSync("prlimit", ["--pid", String(child.pid), "--nofile=64"]);
  let [open, dropped] = [0, 0];
  const sockets: Socket[] = [];
  for (let index = 0; index < 1_000; index++) {
    const socket = connectTcp(Number(port), host).on("error", () => {});
    socket
      .once("connect", () => open++)
      .once("close", () => dropped++)
      .resume();
    sockets.push(socket);
  }
  await pause(2_000);
  const during = await callFor(cache, 2_000);
  const { fds } = usageOf(child.pid!);
  for (const socket of sockets) socket.destroy();
  await pause(500);
  const fresh = await connect(`ringhold://${address}`, { secret: SECRET });
  console.log(
    `descriptors: of 64 at most ${fds} used; ${open} connected, ${dropped} dropped; connected client: ${show(during)}`,
  );
  console.log(`  a new client afterwards gets ${String(await fresh.get("absent"))}`);
  await fresh.close();
  await cache.close();
  child.kill("SIGTERM");
  await once(child, "exit");
  rmSync(folder, { recursive: true });
}

// ---- what refusals tell

const TRIES = 20_000;
/** Addresses that the tries come from. */
const HOST_COUNT = 60_000;

/** A loopback address that was not used for long. */
function hostOf(index: number): string {
  const host = index % HOST_COUNT;
  return `127.1.${host >> 8}.${host & 255 || 1}`;
}

/** Milliseconds from the request to the first byte of its refusal. */
async function timeOfPage(port: number, localAddress: string, authorization: string): Promise<number> {
  const socket = connectTcp({ port, host: "127.0.0.1", localAddress, noDelay: true });
  socket.on("error", () => {});
  await once(socket, "connect");
  const startMs = performance.now();
  socket.write(`GET /status HTTP/1.1\r\nHost: a\r\nAuthorization: ${authorization}\r\n\r\n`);
  const [answer] = (await once(socket, "data")) as [Buffer];
  const ms = performance.now() - startMs;
  socket.destroy();
  if (!answer.toString("latin1").startsWith("HTTP/1.1 401")) throw new Error(`Not refused: ${answer}`);
  return ms;
}

/** Milliseconds from a user's proof to its refusal. */
async function timeOfProof(address: string, localAddress: string, user: string): Promise<number> {
  const webSocket = new WebSocket(`ws://${address}/client`, { perMessageDeflate: false, localAddress });
  const handshake = new DialerHandshake(IDENTITY, "client", { secret: "wrong secret of many bytes", user });
  await once(webSocket, "open");
  webSocket.send(handshake.hello);
  const [challenge] = (await once(webSocket, "message")) as [Buffer];
  const step = handshake.receive(new Uint8Array(challenge));
  if (step.kind !== "send") throw new Error(`Not asked for a proof: ${step.kind}`);
  const startMs = performance.now();
  webSocket.send(step.frame);
  await once(webSocket, "message");
  const ms = performance.now() - startMs;
  webSocket.terminate();
  return ms;
}

/** Two kinds of tries in an order that follows nothing else; prints their medians and Welch's t. */
async function compare(what: string, tries: number, kinds: readonly Try[]): Promise<void> {
  const times: [number[], number[]] = [[], []];
  for (let index = 0; index < 2 * tries; index++) {
    const kind = (index * 7 + (index >> 3)) & 1;
    times[kind]!.push(await kinds[kind]!(hostOf(index)));
  }
  const t = welchT(...times).toFixed(2);
  console.log(
    `timing, ${what}: medians ${times.map((each) => median(each).toFixed(4)).join(", ")} ms; t ${t}`,
  );
}

type Try = (localAddress: string) => Promise<number>;

async function timing(tries: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ringhold-strangers-"));
  const users = join(folder, "users.json");
  const added = ["user", "set", "ada", "--allow", "read", "--prefix", "a:", "--users-file", users];
  execFileSync(process.execPath, [commandFile(), ...added]);
  const { address, kill } = await startNode(folder, ["--users-file", users]);
  const port = Number(address.split(":")[1]);
  const basic = (user: string): Try => {
    const pair = Buffer.from(`${user}:wrong secret of many bytes`).toString("base64");
    return (host) => timeOfPage(port, host, `Basic ${pair}`);
  };
  const bearer = (secret: string): Try => {
    return (host) => timeOfPage(port, host, `Bearer ${secret}`);
  };
  const proof = (user: string): Try => {
    return (host) => timeOfProof(address, host, user);
  };
  await compare("user of a page, known and unknown", tries, [basic("ada"), basic("bob")]);
  const [first, last] = [`x${SECRET.slice(1)}`, `${SECRET.slice(0, -1)}x`];
  await compare("secret of a page, wrong at first and last byte", tries, [bearer(first), bearer(last)]);
  await compare("user of a link, known and unknown", tries, [proof("ada"), proof("bob")]);
  await kill();
  rmSync(folder, { recursive: true });
}

// ---- the attackers' process

async function runAttack(kind: string, address: string): Promise<void> {
  let isOver = false;
  process.on("message", () => {
    isOver = true;
  });
  const counts: Record<string, number> = {};
  const count = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  const [host, port] = address.split(":");
  if (kind === "flood") {
    process.send!({ wrongProofsPerSecond: 1_000 });
    const started = performance.now();
    for (let made = 0; !isOver; ) {
      while (made < performance.now() - started) {
        made++;
        guess(address, count);
      }
      await pause(1);
    }
  } else if (kind === "strangers") {
    const acts = [
      (socket: Socket) => socket.write(Buffer.alloc(4096, "x")),
      () => {},
      (socket: Socket) => socket.write("GET /client HTTP/1.1\r\nHost: x\r\n"),
    ];
    process.send!({ connections: 5_000, acts: "garbage, nothing, half a request" });
    const open = new Set<Socket>();
    for (let made = 0; !isOver; ) {
      while (open.size < 5_000 && made < 5_000) {
        const socket = connectTcp(Number(port), host);
        const act = acts[made++ % acts.length]!;
        const begun = performance.now();
        open.add(socket);
        socket.on("connect", () => act(socket)).on("error", () => {});
        socket.resume().on("close", () => {
          open.delete(socket);
          count("closed");
          counts.longestMs = Math.max(counts.longestMs ?? 0, Math.round(performance.now() - begun));
        });
        if (made % 50 === 0) await pause(1);
      }
      await pause(10);
    }
    counts.stillOpen = open.size;
  } else {
    process.send!({ readers: 100, each: "1500 gets of 1 MiB, never read" });
    await Promise.all(Array.from({ length: 100 }, (_, index) => neverRead(address, index, count)));
    while (!isOver) await pause(20);
  }
  process.send!(counts);
}

/** One connection with a wrong proof. */
function guess(address: string, count: (what: string) => void): void {
  const webSocket = new WebSocket(`ws://${address}/client`, { perMessageDeflate: false });
  const handshake = new DialerHandshake(IDENTITY, "client", { secret: "wrong secret of many bytes" });
  webSocket.on("open", () => webSocket.send(handshake.hello));
  webSocket.on("message", (data) => {
    const step = handshake.receive(new Uint8Array(data as Buffer));
    if (step.kind === "send") webSocket.send(step.frame);
    else count(step.kind);
  });
  webSocket.on("error", () => count("dropped"));
}

/** Asks for much, and reads nothing of it. */
async function neverRead(address: string, id: number, count: (what: string) => void): Promise<void> {
  const webSocket = new WebSocket(`ws://${address}/client`, { perMessageDeflate: false });
  const handshake = new DialerHandshake({ ...IDENTITY, clientId: 100 + id }, "client", { secret: SECRET });
  await once(webSocket, "open");
  webSocket.on("close", () => count("closed")).on("error", () => {});
  webSocket.send(handshake.hello);
  await new Promise<void>((resolve) => {
    webSocket.on("message", (data) => {
      const step = handshake.receive(new Uint8Array(data as Buffer));
      if (step.kind === "send") webSocket.send(step.frame);
      else resolve();
    });
  });
  webSocket.pause();
  const gets = Array.from({ length: 1_500 }, (_, index): GetRequest => {
    const key = `big${index % 20}`;
    return { kind: "get", id: index + 1, key, read: "one", want: "value", notAfter: 0 };
  });
  webSocket.send(encodeFrame(gets));
}

const [role = "all", ...rest] = process.argv.slice(2);
if (role === "attack") await runAttack(rest[0]!, rest[1]!);
else {
  console.log(`Node ${process.version}, ${new Date().toISOString().slice(0, 10)}`);
  if (role === "all" || role === "flood") await measure("flood", 10);
  if (role === "all" || role === "strangers") await measure("strangers", 10);
  if (role === "all" || role === "readers") await measure("readers", 15);
  if (role === "all" || role === "descriptors") await descriptors();
  if (role === "all" || role === "timing") await timing(Number(rest[0] ?? TRIES));
}
process.exit(0);
