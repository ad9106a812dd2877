// Question: how many bytes does an entry take, how fast are gets and sets, and how long does the garbage collector stop the process,
// with one and with five million entries?
// Baselines: a plain Map and lru-cache with the value's bytes in a Uint8Array each, the project's own engine on lru-cache (which
// keeps versions, slots and expiry too), and Redis, when `redis-server` is installed (memory only: it is another process).
// Ideal: the payload, 124 bytes: a key of 24 and a value of 100.
//
// Each engine runs in a process of its own, one after the other. It is warmed up on a small store first, so that the growth of
// resident memory over the entries is the store's, not the code's. Gets and sets go to random keys, the key's text is made anew
// for each call as a codec would, and the same work without a store is subtracted nowhere: it is the line `none`.
//
// Run: `npx tsx bench/store-memory.ts [--entries 1000000,5000000] [--engines segments,lru-store,lru-cache,map,none,redis] [--calls 3000000]`

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { LRUCache } from "lru-cache";
import { residentBytesOf } from "../cluster/os-process.ts";
import { slotOfKey } from "../src/base/hash.ts";
import type { Entry } from "../src/core/messages.ts";
import { LruStore } from "../src/core/store/lru-store.ts";
import { SegmentStore } from "../src/core/store/segment-store.ts";
import type { Store } from "../src/core/store/store.ts";
import { loadHashes } from "../src/io/hashes.ts";
import { GcWatch } from "./slow-steps.ts";

const { values: args } = parseArgs({
  options: {
    entries: { type: "string", default: "1000000,5000000" },
    engines: { type: "string", default: "none,segments,map,lru-cache,lru-store,redis" },
    calls: { type: "string", default: "3000000" },
    /** Set in the processes that measure. */
    child: { type: "boolean", default: false },
  },
});
const VALUE = new Uint8Array(100).map((_, index) => index);
const CALLS = Number(args.calls);
const BATCH = 4_096;
const WALL_MS = 1_700_000_000_000;
/** The engine on lru-cache takes a kilobyte an entry: five million do not fit the default heap. */
const LRU_STORE_ENTRIES_MAX = 1_000_000;

/** The least that all of them can do. */
interface Engine {
  get(key: string): number;
  set(key: string): void;
}

let version = 1_700_000_000_000_000;

function ofStore(store: Store): Engine {
  return {
    get: (key) => store.get(slotOfKey(key), key, WALL_MS)?.value?.length ?? 0,
    set(key) {
      version++;
      const entry: Entry = {
        key,
        version,
        origin: 4_000_000_000,
        expiresAt: 0,
        format: 2,
        value: VALUE,
        opClient: 5_000_000_000_000,
        opSeq: version % 1_000_000,
        opAttempt: 1,
      };
      store.merge(slotOfKey(key), entry, WALL_MS);
    },
  };
}

/** An engine with room for so many entries. */
async function makeEngine(name: string, entries: number): Promise<Engine> {
  const hashes = await loadHashes();
  if (name === "segments") return ofStore(new SegmentStore({ bytesMax: entries * 250 }, hashes));
  if (name === "lru-store") return ofStore(new LruStore({ bytesMax: entries * 1_100 }, hashes));
  if (name === "none") return { get: (key) => slotOfKey(key), set: (key) => void slotOfKey(key) };
  const cache =
    name === "map" ? new Map<string, Uint8Array>() : new LRUCache<string, Uint8Array>({ max: entries });
  return {
    get: (key) => cache.get(key)?.length ?? 0,
    set: (key) => void cache.set(key, new Uint8Array(VALUE)),
  };
}

const keyBytes = Buffer.from(`user:${"0".repeat(19)}`);

/** Key number `index`, made from bytes as a codec makes it. */
function keyOf(index: number): string {
  let rest = index;
  for (let at = keyBytes.length - 1; at > 14; at--) {
    keyBytes[at] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return keyBytes.toString("latin1");
}

const wait = () => new Promise((resolve) => setImmediate(resolve));

async function measure(name: string, entries: number): Promise<void> {
  await fill(await makeEngine(name, 50_000), 50_000);
  let seed = 1;
  let checksum = 0;
  const random = () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) | 0;
    return Math.floor(((seed >>> 0) / 2 ** 32) * entries);
  };
  const rssAtStart = process.memoryUsage().rss;
  const gc = new GcWatch();
  const engine = await makeEngine(name, entries);
  const rates = [await rateOf(entries, (index) => engine.set(keyOf(index)))];
  const rss = process.memoryUsage().rss - rssAtStart;
  await rateOf(CALLS / 4, () => void engine.get(keyOf(random())));
  rates.push(
    await rateOf(CALLS, () => {
      checksum = (checksum + engine.get(keyOf(random()))) % 1_000_000_007;
    }),
    await rateOf(CALLS, () => engine.set(keyOf(random()))),
  );
  const millions = (rate: number) => (rate / 1e6).toFixed(2);
  const rate = (index: number) =>
    `${millions(rates[index]!.processor)} (wall ${millions(rates[index]!.wall)})`;
  const heap = (process.memoryUsage().heapUsed / 2 ** 20).toFixed(0);
  console.log(
    `${name.padEnd(10)} ${entries} entries: ${(rss / entries).toFixed(0).padStart(4)} bytes an entry; millions a second of processor time: fill ${rate(0)}, get ${rate(1)}, set ${rate(2)}; heap ${heap} MiB; ${gc}; checksum ${checksum}`,
  );
}

async function fill(engine: Engine, entries: number): Promise<void> {
  await rateOf(entries * 4, (index) => {
    engine.set(keyOf(index % entries));
    engine.get(keyOf(index % entries));
  });
}

/** Calls a second, of the wall clock's time and of the processor's, the collector's threads included. */
interface Rate {
  readonly wall: number;
  readonly processor: number;
}

async function rateOf(count: number, call: (index: number) => void): Promise<Rate> {
  const start = performance.now();
  const usage = process.cpuUsage();
  for (let index = 0; index < count; index++) {
    call(index);
    if (index % BATCH === BATCH - 1) await wait();
  }
  const { user, system } = process.cpuUsage(usage);
  return { wall: (count * 1000) / (performance.now() - start), processor: (count * 1e6) / (user + system) };
}

// ---- Redis

async function measureRedis(entries: number): Promise<void> {
  if (spawnSync("redis-server", ["--version"]).error !== undefined) {
    console.log("redis      skipped: redis-server is not installed");
    return;
  }
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "ringhold-redis-"));
  const server = spawn(
    "redis-server",
    ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder],
    { stdio: "ignore" },
  );
  try {
    const socket = await connectTo(port);
    const rssAtStart = residentBytesOf(server.pid!);
    const start = performance.now();
    for (let index = 0; index < entries; index += 1_000)
      await setMany(socket, index, Math.min(entries, index + 1_000));
    const rate = entries / (performance.now() - start) / 1000;
    const bytes = (residentBytesOf(server.pid!) - rssAtStart) / entries;
    console.log(
      `redis      ${entries} entries: ${bytes.toFixed(0).padStart(4)} bytes an entry; fill ${rate.toFixed(2)} M/s over loopback, 1,000 at a time`,
    );
    socket.destroy();
  } finally {
    server.kill();
    await new Promise((resolve) => server.once("exit", resolve));
    rmSync(folder, { recursive: true, force: true });
  }
}

async function setMany(socket: Socket, from: number, to: number): Promise<void> {
  const parts: string[] = [];
  const value = "x".repeat(VALUE.length);
  for (let index = from; index < to; index++) {
    const key = keyOf(index);
    parts.push(`*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n${value}\r\n`);
  }
  const expected = (to - from) * "+OK\r\n".length;
  await new Promise<void>((resolve, reject) => {
    let received = 0;
    const onData = (chunk: Buffer) => {
      received += chunk.length;
      if (received < expected) return;
      socket.off("data", onData);
      socket.off("error", reject);
      resolve();
    };
    socket.on("data", onData);
    socket.once("error", reject);
    socket.write(parts.join(""));
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

async function connectTo(port: number): Promise<Socket> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await new Promise<Socket>((resolve, reject) => {
        const socket = createConnection(port, "127.0.0.1", () => resolve(socket));
        socket.once("error", reject);
      });
    } catch (error) {
      if (attempt === 100) throw error;
      await sleep(50);
    }
  }
}

// ---- all of them

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

const engines = args.engines.split(",");
const sizes = args.entries.split(",").map(Number);
if (args.child) await measure(engines[0]!, sizes[0]!);
else {
  console.log(
    `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores; Node ${process.version}; ${commit()}`,
  );
  console.log(
    `keys of ${keyOf(0).length}, values of ${VALUE.length} bytes; ${CALLS} gets and sets each, random keys`,
  );
  for (const entries of sizes) {
    for (const engine of engines) {
      if (engine === "redis") await measureRedis(entries);
      else if (engine === "lru-store" && entries > LRU_STORE_ENTRIES_MAX) {
        console.log(
          `${engine.padEnd(10)} ${entries} entries: skipped, they do not fit into Node's default heap`,
        );
      } else {
        const options = [
          "--child",
          "--engines",
          engine,
          "--entries",
          String(entries),
          "--calls",
          String(CALLS),
        ];
        const flags = [...process.execArgv, fileURLToPath(import.meta.url), ...options];
        const { status } = spawnSync(process.execPath, flags, { stdio: "inherit" });
        if (status !== 0) console.log(`${engine.padEnd(10)} ${entries} entries: failed with ${status}`);
      }
    }
  }
}
