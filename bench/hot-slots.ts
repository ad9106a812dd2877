// Would it pay to transfer the slots with the most hot entries first? Keys drawn by Zipf's law lie in slots by their hash; what a store
// knows to be hot is what was read twice or more (its main queue). Printed: the share of all reads whose slot is there after a
// part of the slots, in the order of slots, by hot entries, and by the true share of reads, which no store knows.
// Ideal: all reads after the first slots. Run with `npx tsx bench/hot-slots.ts`.

import { Prng } from "../src/base/prng.ts";

const KEYS = 300_000;
const SLOTS = 16_384;
const READS = 1_000_000;
const EXPONENT = 0.99;
const ROUNDS = 20;
const PARTS = [0.1, 0.25, 0.5];

const prng = new Prng(1);
const weights = Float64Array.from({ length: KEYS }, (_, rank) => 1 / (rank + 1) ** EXPONENT);
const total = weights.reduce((sum, weight) => sum + weight, 0);
const orders = ["order of slots", "most hot entries first", "most read first"] as const;
const means = orders.map(() => PARTS.map(() => 0));

for (let round = 0; round < ROUNDS; round++) {
  const reads = new Float64Array(SLOTS);
  const hot = new Float64Array(SLOTS);
  for (const weight of weights) {
    const slot = prng.below(SLOTS);
    reads[slot]! += weight / total;
    if ((READS * weight) / total >= 2) hot[slot]! += 1;
  }
  const heats = [new Float64Array(SLOTS), hot, reads];
  for (const [index, heat] of heats.entries()) {
    const order = Array.from({ length: SLOTS }, (_, slot) => slot).sort((a, b) => heat[b]! - heat[a]!);
    for (const [part, share] of PARTS.entries()) {
      const there = order.slice(0, Math.round(share * SLOTS));
      means[index]![part]! += there.reduce((sum, slot) => sum + reads[slot]!, 0) / ROUNDS;
    }
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
for (const [index, name] of orders.entries()) {
  const shares = PARTS.map((part, at) => `${percent(means[index]![at]!)} after ${percent(part)}`);
  console.log(`${name}: ${shares.join(", ")} of the slots`);
}
