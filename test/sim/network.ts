// The network between hosts: how long a frame takes, whether it is lost or repeated, and which ways are cut. It only decides;
// `connections.ts` carries the decisions out.
//
// Two modes. `stream` is TCP as it is: order kept within a connection, a lost packet or a short cut only delays (retransmission
// with doubling pauses), nothing is repeated. `datagram` is harsher than reality: each frame may be lost, repeated or
// overtaken. The core's rules allow both, so both must be survived.

import type { Prng } from "../../src/base/prng.ts";
import type { Path } from "../../src/core/messages.ts";
import { prngFor } from "./randomness.ts";

/** How the network behaves while nothing in particular is wrong with it. */
export interface NetworkProfile {
  readonly mode: "stream" | "datagram";
  /** Usual one-way delay in ms; each frame takes between half and one and a half of it. */
  readonly delayMs: number;
  /** Share of frames that are held up, and by at most how many ms (most of them by far less). */
  readonly tailChance: number;
  readonly tailMsMax: number;
  readonly lossChance: number;
  /** Only in `datagram` mode. */
  readonly duplicateChance: number;
}

export const CALM: NetworkProfile = {
  mode: "stream",
  delayMs: 0.3,
  tailChance: 0.01,
  tailMsMax: 20,
  lossChance: 0,
  duplicateChance: 0,
};

/** Frames above this size do not pass where large ones are lost. */
const LARGE_BYTES = 600;

/** Undoes one fault; doing so twice does nothing. */
export type Heal = () => void;

/** Decides the fate of frames. Hosts are named by text: a node by its id, a client by its name. */
export class Network {
  profile: NetworkProfile;
  readonly #seed: number;
  readonly #streams = new Map<string, Prng>();
  /** Directed pair "from>to" -> how many faults cut it. */
  readonly #cuts = new Map<string, number>();
  readonly #loss = new Map<string, number>();
  readonly #slow = new Map<string, number>();
  /** Directed pair -> how many faults lose its large frames. */
  readonly #thin = new Map<string, number>();

  constructor(seed: number, profile: NetworkProfile) {
    this.#seed = seed;
    this.profile = profile;
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.size > 0 && (this.#cuts.get(`${from}>${to}`) ?? 0) > 0;
  }

  /** Whether frames pass both ways. */
  isConnected(one: string, other: string): boolean {
    return !this.isCut(one, other) && !this.isCut(other, one);
  }

  /** Cuts every way from one of `sources` to one of `targets`, and back unless `isOneWay`. */
  cut(sources: readonly string[], targets: readonly string[], isOneWay = false): Heal {
    const pairs: string[] = [];
    for (const source of sources) {
      for (const target of targets) {
        if (source === target) continue;
        pairs.push(`${source}>${target}`);
        if (!isOneWay) pairs.push(`${target}>${source}`);
      }
    }
    return counted(this.#cuts, pairs, 1);
  }

  /** Whether any fault cuts, slows or thins out what the host sends or receives. */
  isDisturbed(host: string): boolean {
    if (this.profile.lossChance > 0 || this.#slow.has(host)) return true;
    const touches = (pair: string) => pair.startsWith(`${host}>`) || pair.endsWith(`>${host}`);
    return [...this.#cuts.keys(), ...this.#loss.keys(), ...this.#thin.keys()].some(touches);
  }

  /** Splits hosts into groups that do not hear each other; hosts in no group hear everybody. */
  partition(groups: readonly (readonly string[])[]): Heal {
    const heals: Heal[] = [];
    for (const [index, group] of groups.entries()) {
      for (const other of groups.slice(index + 1)) heals.push(this.cut(group, other));
    }
    return () => {
      for (const heal of heals) heal();
    };
  }

  /** Adds loss to one direction. */
  lose(from: string, to: string, chance: number): Heal {
    return counted(this.#loss, [`${from}>${to}`], chance);
  }

  /** Loses every frame of more than {@link LARGE_BYTES} in one direction: a path that is thinner than its ends believe. */
  loseLarge(from: string, to: string): Heal {
    return counted(this.#thin, [`${from}>${to}`], 1);
  }

  /** Adds a delay to everything a host sends or receives. */
  slowDown(host: string, ms: number): Heal {
    return counted(this.#slow, [host], ms);
  }

  delayMs(from: string, to: string, path: Path): number {
    const { delayMs, tailChance, tailMsMax } = this.profile;
    const prng = this.#stream(from, to, path);
    let ms = delayMs * (0.5 + prng.float());
    // 1 / (1 + 50 u) falls from 1 to 0.02: few frames are held up for long.
    if (prng.chance(tailChance)) ms += tailMsMax / (1 + 50 * prng.float());
    if (this.#slow.size > 0) ms += (this.#slow.get(from) ?? 0) + (this.#slow.get(to) ?? 0);
    return ms;
  }

  isLost(from: string, to: string, path: Path, bytes: number): boolean {
    if (bytes > LARGE_BYTES && this.#thin.has(`${from}>${to}`)) return true;
    const chance = this.profile.lossChance + (this.#loss.get(`${from}>${to}`) ?? 0);
    return chance > 0 && this.#stream(from, to, path).chance(chance);
  }

  isDuplicated(from: string, to: string, path: Path): boolean {
    // A client asks over one connection, and no connection repeats a request by itself.
    const isPossible = this.profile.mode === "datagram" && path !== "client";
    const chance = isPossible ? this.profile.duplicateChance : 0;
    return chance > 0 && this.#stream(from, to, path).chance(chance);
  }

  #stream(from: string, to: string, path: Path): Prng {
    const key = `${from}>${to}/${path}`;
    let prng = this.#streams.get(key);
    if (prng === undefined) {
      prng = prngFor(this.#seed, `network ${key}`);
      this.#streams.set(key, prng);
    }
    return prng;
  }
}

/** Adds `amount` under each key, and takes it away again when called. */
function counted(table: Map<string, number>, keys: readonly string[], amount: number): Heal {
  const add = (by: number) => {
    for (const key of keys) {
      const sum = (table.get(key) ?? 0) + by;
      if (sum > 1e-9) table.set(key, sum);
      else table.delete(key);
    }
  };
  let isOn = true;
  add(amount);
  return () => {
    if (isOn) add(-amount);
    isOn = false;
  };
}
