// Damaged frames: bits flipped, bytes cut, spliced and overwritten. Whatever comes out is either a failure or messages that are
// valid and would be encoded again; nothing throws. Seeded, so a failure repeats.

import fc from "fast-check";
import { expect, test } from "vitest";
import { Prng } from "../../src/base/prng.ts";
import { decodeFrame, encodeFrame } from "../../src/wire/codec.ts";
import { decodeHandshake, decodeWelcome } from "../../src/wire/handshake.ts";
import type { Source } from "../../src/wire/schema.ts";
import {
  clientReplyArbitrary,
  clientRequestArbitrary,
  gossipMessageArbitrary,
  MESSAGE_ARBITRARIES,
  peerMessageArbitrary,
} from "./arbitraries.ts";
import { isValidMessage } from "./valid-message.ts";

const SEED = 20_251;
const FRAMES_PER_SOURCE = 120;
const MUTATIONS_PER_FRAME = 100;

const SOURCES = [
  { source: { path: "client", from: "client" }, arbitrary: clientRequestArbitrary },
  { source: { path: "client", from: "node" }, arbitrary: clientReplyArbitrary },
  { source: { path: "peer", from: "node" }, arbitrary: peerMessageArbitrary },
  { source: { path: "peer", from: "node" }, arbitrary: MESSAGE_ARBITRARIES.replicate },
  { source: { path: "gossip", from: "node" }, arbitrary: gossipMessageArbitrary },
] as const;

test.each(SOURCES)("decodeFrame survives damaged frames from $source", ({ source, arbitrary }) => {
  const prng = new Prng(SEED);
  const frames = fc
    .sample(fc.array<unknown>(arbitrary, { maxLength: 6 }), { numRuns: FRAMES_PER_SOURCE, seed: SEED })
    .map((messages) => encodeFrame(messages as never));
  let accepted = 0;
  for (const frame of frames) {
    for (let round = 0; round < MUTATIONS_PER_FRAME; round++) {
      const damaged = mutate(frame, prng.pick(frames)!, prng);
      if (isSurvived(damaged, source)) accepted++;
    }
  }
  // Flips within keys and values leave a frame valid: were none accepted, the test would not test.
  expect(accepted).toBeGreaterThan(20);
});

test("the decoders survive bytes drawn at random", () => {
  const prng = new Prng(SEED);
  for (let round = 0; round < 20_000; round++) {
    const bytes = Uint8Array.from({ length: 1 + prng.below(60) }, () => prng.below(256));
    isSurvived(bytes, { path: "peer", from: "node" });
    decodeHandshake(bytes);
    decodeWelcome(bytes);
  }
});

/** Checks what comes of a frame; returns whether it was accepted. */
function isSurvived(frame: Uint8Array, source: Source): boolean {
  const decoded = decodeFrame(frame, source);
  if (!decoded.ok) {
    if (decoded.reason === "") throw new Error("a failure without a reason");
    return false;
  }
  for (const message of decoded.messages) {
    if (!isValidMessage(message)) throw new Error(`an invalid message: ${JSON.stringify(message)}`);
  }
  const again = decodeFrame(encodeFrame(decoded.messages), source);
  if (!again.ok) throw new Error(`not accepted again: ${again.reason}`);
  return true;
}

function mutate(frame: Uint8Array, other: Uint8Array, prng: Prng): Uint8Array {
  const mutant = frame.slice();
  switch (prng.below(6)) {
    case 0: {
      for (let flips = 1 + prng.below(4); flips > 0; flips--) {
        const index = prng.below(mutant.length);
        mutant[index] = mutant[index]! ^ (1 << prng.below(8));
      }
      return mutant;
    }
    case 1:
      return mutant.subarray(0, prng.below(mutant.length));
    case 2:
      return mutant.subarray(prng.below(mutant.length));
    case 3: {
      const from = prng.below(mutant.length);
      const to = prng.below(other.length);
      return Uint8Array.of(...mutant.subarray(0, from), ...other.subarray(to));
    }
    case 4: {
      const index = prng.below(mutant.length);
      mutant[index] = prng.pick([
        0xc0, 0xc1, 0xc4, 0xc6, 0xcb, 0xcf, 0xd4, 0xd9, 0xdb, 0xdc, 0xdd, 0xdf, 0xff,
      ])!;
      return mutant;
    }
    default: {
      const start = prng.below(mutant.length);
      const length = prng.below(8);
      return Uint8Array.of(...mutant.subarray(0, start), ...mutant.subarray(start + length));
    }
  }
}
