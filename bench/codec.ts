// What does a frame cost to encode and to decode? Gets and their replies with 100-byte values, in frames of 1, 64 and 512.
//
// Baselines: JSON (values as base64 text) and msgpackr on plain arrays of objects. Neither of them checks what it reads; ours
// walks the headers first and checks every field after. Ideal: the encoded bytes copied once.
//
// Run with `npx tsx bench/codec.ts`.

import { cpus } from "node:os";
import { Packr, Unpackr } from "msgpackr";
import { Bench } from "tinybench";
import { Prng } from "../src/base/prng.ts";
import type { GetReply, GetRequest, Message } from "../src/core/messages.ts";
import { decodeFrame, encodeFrame } from "../src/wire/codec.ts";
import type { Source } from "../src/wire/schema.ts";

const SEED = 7;
const SIZES = [1, 64, 512];
const VALUE_BYTES = 100;

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false, int64AsType: "number" });

/** One way to turn messages into bytes and back. */
interface Way {
  readonly name: string;
  encode(messages: readonly Message[]): Uint8Array | string;
  decode(frame: Uint8Array | string, source: Source): readonly Message[];
}

const WAYS: readonly Way[] = [
  {
    name: "ringhold",
    encode: encodeFrame,
    decode(frame, source) {
      const decoded = decodeFrame(frame as Uint8Array, source);
      if (!decoded.ok) throw new Error(decoded.reason);
      return decoded.messages;
    },
  },
  {
    name: "msgpackr objects",
    encode: (messages) => packr.pack(messages),
    decode: (frame) => unpackr.unpack(frame as Uint8Array),
  },
  {
    name: "JSON",
    encode: (messages) =>
      JSON.stringify(messages, (_name, value: unknown) =>
        value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value,
      ),
    decode: (frame) =>
      JSON.parse(frame as string, (name, value: unknown) =>
        name === "value" ? new Uint8Array(Buffer.from(String(value), "base64")) : value,
      ),
  },
];

function gets(count: number): GetRequest[] {
  return Array.from({ length: count }, (_, id) => ({
    kind: "get",
    id,
    key: `user:profile:${String(id).padStart(8, "0")}`,
    read: "one",
    want: "value",
    notAfter: 0,
  }));
}

function replies(count: number): GetReply[] {
  const prng = new Prng(SEED);
  return Array.from({ length: count }, (_, id) => ({
    kind: "got",
    id,
    found: true,
    format: 2,
    value: Uint8Array.from({ length: VALUE_BYTES }, () => prng.below(256)),
    version: 0,
    expiresAt: 0,
  }));
}

const CASES = [
  { name: "get", make: gets, source: { path: "client", from: "client" } },
  { name: "got", make: replies, source: { path: "client", from: "node" } },
] as const;

console.log(`${cpus()[0]?.model ?? "unknown cpu"}, Node ${process.version}, seed ${SEED}`);
console.log("median ns per message (frame's bytes per message)\n");
for (const { name, make, source } of CASES) {
  for (const size of SIZES) {
    const messages = make(size);
    const bench = new Bench({ time: 250, warmupTime: 100 });
    for (const way of WAYS) {
      const frame = way.encode(messages);
      if (way.decode(frame, source).length !== size) throw new Error(`${way.name} lost messages`);
      bench.add(`${way.name} encode`, () => void way.encode(messages));
      bench.add(`${way.name} decode`, () => void way.decode(frame, source));
    }
    await bench.run();
    const medianOf = (task: string): string => {
      const result = bench.getTask(task)?.result;
      if (result === undefined || !("latency" in result)) throw new Error(`${task} did not finish`);
      return ((result.latency.p50 * 1e6) / size).toFixed(0).padStart(6);
    };
    for (const way of WAYS) {
      const frame = way.encode(messages);
      const line = [
        `${name} x ${size}`.padEnd(10),
        way.name.padEnd(17),
        `encode ${medianOf(`${way.name} encode`)}`,
        `decode ${medianOf(`${way.name} decode`)}`,
        `(${(frame.length / size).toFixed(1)} B)`,
      ];
      console.log(line.join("  "));
    }
  }
}
