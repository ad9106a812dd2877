// The fuzz of the SDK's arguments: every call with keys, values, options and numbers at their edges and of every wrong type. A call either does
// what it says or rejects with a CacheError whose code is documented; it never throws anything else and never hangs.

import { ERROR_CODES } from "../../src/base/errors.ts";
import { Prng } from "../../src/base/prng.ts";
import { type Cache, CacheError } from "../../src/index.ts";

const KEYS: readonly unknown[] = [
  ...[
    "",
    "k",
    "key:1",
    "x".repeat(1_024),
    "x".repeat(1_025),
    "é".repeat(513),
    "\u0000",
    "\ud800",
    "__proto__",
  ],
  ...["constructor", "toString", "{}", "{", "{a}b", "\u{1f600}", "\ufeffk", "1"],
  ...[1, 0, -1, null, undefined, true, Symbol("k"), {}, [], ["k"], 10n, () => "k", new Uint8Array(3)],
];
const NUMBERS: readonly unknown[] = [
  ...[0, -0, 1, -1, 0.5, 1e308, -1e308, 2 ** 53, 2 ** 53 - 1, -(2 ** 53), 2 ** 31, 2 ** 32, 5e-324],
  ...[
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    "10",
    "",
    "30s",
    "5m",
    "-1s",
    "1y",
    10n,
  ],
  ...[null, undefined, true, {}, [], Symbol("n"), new Date(0)],
];
const VALUES: readonly unknown[] = [
  ...["", "v", "\ud800", 0, -0, Number.NaN, 2 ** 53, 10n, 2n ** 70n, null, undefined, true, Symbol("v")],
  ...[() => 1, new Map([[1, 2]]), new Set([1]), new Date(Number.NaN), /x/g, new Error("e"), new WeakMap()],
  ...[new Uint8Array(0), Buffer.from("b"), new ArrayBuffer(4), new Float64Array(2), [], [[[[[[]]]]]], {}],
  ...[{ toString: 1, constructor: 2, __proto__: null }, Object.create(null), new Proxy({}, {})],
];
const MODES: readonly unknown[] = ["quorum", "one", "all", "async", "", "most", 1, null, undefined, {}, []];

/** What came out; `wrong` must be empty. */
export interface ArgumentReport {
  readonly calls: number;
  readonly succeeded: number;
  readonly wrong: readonly string[];
}

/** Calls that are longer under way than this hang. */
const PATIENCE_MS = 10_000;

/** See the top of the file. The cache should be one that can spare what it holds. */
export async function fuzzArguments(cache: Cache, seed: number, calls: number): Promise<ArgumentReport> {
  const prng = new Prng(seed);
  const wrong: string[] = [];
  let succeeded = 0;
  // Any argument at all: the types are what is tested.
  const callable = cache as unknown as Record<string, (...given: readonly unknown[]) => unknown>;
  for (let call = 0; call < calls; call++) {
    const [name, given] = draw(prng);
    try {
      const result = await Promise.race([callable[name]!(...given), hang()]);
      if (result === HUNG) wrong.push(`seed ${seed}, call ${call}: ${name} hung`);
      else succeeded++;
    } catch (error) {
      const isKnown = error instanceof CacheError && ERROR_CODES.includes(error.code);
      if (!isKnown) wrong.push(`seed ${seed}, call ${call}: ${name} threw ${String(error)}`);
    }
  }
  return { calls, succeeded, wrong };
}

const HUNG = Symbol("hung");

function hang(): Promise<typeof HUNG> {
  return new Promise((resolve) => setTimeout(() => resolve(HUNG), PATIENCE_MS).unref());
}

function draw(prng: Prng): readonly [name: string, given: readonly unknown[]] {
  const pick = (of: readonly unknown[]): unknown => prng.pick(of);
  const key = () => pick(prng.below(3) === 0 ? KEYS : ["a", "b", "c"]);
  const keys = () =>
    prng.below(6) === 0 ? pick(VALUES) : Array.from({ length: prng.below(4) }, () => key());
  const options = () => optionsOf(prng);
  switch (prng.below(12)) {
    case 0:
      return ["get", [key(), options()]];
    case 1:
      return ["set", [key(), pick(VALUES), options()]];
    case 2:
      return ["delete", [key(), options()]];
    case 3:
      return ["touch", [key(), pick(NUMBERS), options()]];
    case 4:
      return ["increment", [key(), pick(NUMBERS), options()]];
    case 5:
      return ["getEntry", [key(), options()]];
    case 6:
      return ["has", [key(), options()]];
    case 7:
      return ["getMany", [keys(), options()]];
    case 8:
      return ["setMany", [entriesOf(prng), options()]];
    case 9:
      return ["deleteMany", [keys(), options()]];
    case 10:
      return ["locate", [key()]];
    default:
      return ["set", [key(), "v", options()]];
  }
}

function entriesOf(prng: Prng): unknown {
  if (prng.below(5) === 0) return prng.pick(VALUES);
  return Array.from({ length: prng.below(4) }, () => [prng.pick(KEYS), prng.pick(VALUES)]);
}

function optionsOf(prng: Prng): unknown {
  const choice = prng.below(6);
  if (choice < 2) return undefined;
  if (choice === 2) return prng.pick(VALUES);
  const names = [
    "ttl",
    "timeout",
    "ifVersion",
    "write",
    "read",
    "ifAbsent",
    "ifPresent",
    "signal",
    "nonsense",
  ];
  const options: Record<string, unknown> = {};
  for (let count = 1 + prng.below(3); count > 0; count--) {
    const name = prng.pick(names)!;
    options[name] = prng.pick(prng.below(2) === 0 ? NUMBERS : MODES);
  }
  return options;
}
