// The fuzz of a node's HTTP side and of its upgrades: requests with odd methods, paths, headers and upgrades, whole and damaged, on raw connections.
// Each must be answered with a status or closed, and the health page must answer in between.

import { connect } from "node:net";
import { Prng } from "../../src/base/prng.ts";
import { mutate } from "./mutate.ts";

/** What came out; `wrong` must be empty. */
export interface HttpReport {
  readonly requests: number;
  readonly answered: number;
  readonly wrong: readonly string[];
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PRI", "get", ""];
const PATHS = [
  ...["/", "/healthz", "/readyz", "/safez", "/status", "/metrics", "/client", "/peer", "/gossip", "*", ""],
  ...[
    "//healthz",
    "/../../etc/passwd",
    "/%00",
    "/%ff",
    `/${"x".repeat(9_000)}`,
    "http://a/healthz",
    "/client?x=1",
  ],
];
const HEADERS = [
  ...[
    "Host: a",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Expect: 100-continue",
  ],
  ...["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 99"],
  ...["Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: a,,b", "Origin: http://evil"],
  ...["Authorization: Bearer x", "Authorization: ", "Content-Length: 5", "Content-Length: -1", "X: \u0001"],
  ...[
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    `X: ${"y".repeat(9_000)}`,
    ": empty",
    "no colon",
  ],
];
/** A node gives headers five seconds. */
const PATIENCE_MS = 8_000;
/** Connections at a time. */
const CROWD = 32;

/** See the top of the file. */
export async function fuzzHttp(address: string, seed: number, requests: number): Promise<HttpReport> {
  const prng = new Prng(seed);
  const wrong: string[] = [];
  let answered = 0;
  for (let sent = 0; sent < requests && wrong.length < 5; sent += CROWD) {
    const crowd = Array.from({ length: Math.min(CROWD, requests - sent) }, () => draw(prng));
    const outcomes = await Promise.all(crowd.map((bytes) => exchange(address, bytes)));
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome === "answered") answered++;
      if (outcome === "silent")
        wrong.push(`seed ${seed}, request ${sent + index}: ${JSON.stringify(String(crowd[index]))}`);
    }
    const health = await exchange(address, Buffer.from("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"));
    if (health !== "answered") wrong.push(`seed ${seed}, after request ${sent}: /healthz ${health}`);
  }
  return { requests, answered, wrong };
}

function draw(prng: Prng): Buffer {
  const lines = [`${prng.pick(METHODS)} ${prng.pick(PATHS)} HTTP/1.${prng.below(3)}`];
  for (let count = prng.below(7); count > 0; count--) lines.push(prng.pick(HEADERS)!);
  const bytes = Buffer.from(`${lines.join("\r\n")}\r\n\r\n${prng.below(3) === 0 ? "hello" : ""}`, "latin1");
  return prng.below(2) === 0 ? bytes : Buffer.from(mutate(bytes, bytes, prng));
}

/** Sends and ends its side: what was cut short is then known to be all. */
function exchange(address: string, bytes: Buffer): Promise<"answered" | "closed" | "silent"> {
  const [host, port] = address.split(":");
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    const finish = (outcome: "answered" | "closed" | "silent") => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(() => finish("silent"), PATIENCE_MS);
    socket.on("data", () => finish("answered"));
    socket.on("error", () => finish("closed"));
    socket.on("close", () => finish("closed"));
    socket.on("connect", () => socket.end(bytes));
  });
}
