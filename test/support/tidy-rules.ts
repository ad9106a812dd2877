// The rules of the house that a program can check, as functions from source texts to violations. `tidy.test.ts` applies them
// to the project, and plants violations to show that each rule finds what it is for.

import { posix } from "node:path";
import { findImports, lineOf, type SourceText, scanSource } from "./source-text.ts";

/** Source files by path from the project's root, with forward slashes. */
export type Sources = ReadonlyMap<string, string>;

interface File extends SourceText {
  readonly path: string;
}

type Rule = (file: File, files: readonly File[]) => readonly string[];

/** What each layer may import: one way, and server and client nothing of each other. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  core: ["base"],
  wire: ["base", "core"],
  io: ["base", "core", "wire"],
  server: ["base", "core", "wire", "io"],
  client: ["base", "core", "wire", "io"],
  index: ["base", "core", "wire", "io", "server", "client"],
  bench: ["base", "core", "wire", "io", "server", "client", "index", "cluster"],
  cluster: ["base", "core", "wire", "io", "server", "client", "index", "bench"],
  cli: ["base", "core", "wire", "io", "server", "client", "index", "cluster", "bench"],
};

/** What each part of core may import of core. `contract`: the files that state what the parts agree on. */
const CORE_PARTS: Readonly<Record<string, readonly string[]>> = {
  contract: ["store"],
  ring: ["contract"],
  membership: ["contract"],
  store: ["contract"],
  replication: ["contract", "ring", "store"],
  helpers: ["contract", "ring", "store", "replication"],
  node: ["contract", "ring", "store", "replication", "membership", "helpers"],
  "node-core": ["contract", "ring", "store", "replication", "membership", "helpers", "node"],
};
const CORE_CONTRACT = ["messages", "machine", "events", "options"];

/** Packages that pure layers may import. */
const PURE_PACKAGES: Readonly<Record<string, readonly string[]>> = {
  base: [],
  core: ["lru-cache"],
  wire: ["msgpackr"],
  client: [],
};

const name = (names: string): RegExp => new RegExp(`(?<![.\\w$#])(?:${names})\\b(?!\\s*\\??:)`, "g");

/** What pure code may not mention, and what it says instead. */
const IMPURE: readonly (readonly [pattern: RegExp, why: string])[] = [
  [/(?<![.\w$#])async\s+(?:function|\*|\(|[\w$#]+\s*(?:=>|[(<]))|(?<![.\w$#])async\s*\(/g, "is asynchronous"],
  [/(?<![.\w$#])await\b(?!\s*\??:)/g, "is asynchronous"],
  [name("Promise|queueMicrotask"), "is asynchronous"],
  [name("(?:set|clear)(?:Timeout|Interval|Immediate)"), "uses a timer"],
  [name("Date|performance"), "reads a clock"],
  [/(?<![.\w$#])Math\s*\.\s*random\b/g, "draws from global randomness"],
  [name("crypto"), "draws from global randomness"],
  [name("console|process|globalThis|fetch|WebSocket|Worker|SharedArrayBuffer|Atomics"), "does I/O"],
  [name("WeakRef|FinalizationRegistry"), "depends on the garbage collector"],
  [/\.\s*(?:localeCompare|toLocale\w+)\b|(?<![.\w$#])Intl\b/g, "depends on the locale"],
];

/** Engines may round these differently, and members must agree on every slot. */
const RING_MATH = /(?<![.\w$#])Math\s*\.\s*(?!(?:floor|ceil|imul|min|max|abs|trunc|sign|clz32)\b)\w+|\*\*/g;

/** All violations in the given files, one line each: `path:line: what`. */
export function checkSources(sources: Sources): string[] {
  const files = [...sources].map(([path, text]) => ({ path, ...scanSource(text) }));
  return files.flatMap((file) => RULES.flatMap((rule) => rule(file, files)));
}

/** Violations in test files. */
export function checkTests(sources: Sources): string[] {
  const files = [...sources].map(([path, text]) => ({ path, ...scanSource(text) }));
  const chosen = /(?<![.\w$])(?:test|it|describe|suite|bench)(?:\.\w+)*\.(?:only|skip)\b/g;
  return files.flatMap((file) => [
    ...findAll(file, file.code, chosen, "leaves tests out"),
    ...TYPE_RULES.flatMap((rule) => rule(file, files)),
  ]);
}

/** Violations in the manifest and the lockfile, both parsed. */
export function checkPackages(manifest: PackageManifest, lockText: string): string[] {
  const violations: string[] = [];
  const lock = JSON.parse(lockText) as { packages: Record<string, { version?: string }> };
  const wanted = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.overrides };
  for (const [packageName, range] of Object.entries(wanted)) {
    // An alias (two versions of one package side by side) is as exact as what it stands for.
    const version = range.replace(/^npm:(?:@[^@/]+\/)?[^@/]+@/, "");
    const locked = lock.packages[`node_modules/${packageName}`]?.version;
    if (!/^\d+\.\d+\.\d+$/.test(version))
      violations.push(`package.json: ${packageName} is not exact: ${version}`);
    else if (locked !== version)
      violations.push(`package-lock.json: ${packageName} is ${locked}, not ${version}`);
  }
  for (const [packageName, oldest] of Object.entries(SAFE_VERSIONS)) {
    const isCopy = (path: string) => path.endsWith(`node_modules/${packageName}`);
    const versions = Object.entries(lock.packages).filter(([path]) => isCopy(path));
    if (versions.length === 0) violations.push(`package-lock.json: ${packageName} is missing`);
    for (const [path, { version }] of versions) {
      if (!isAtLeast(version ?? "0", oldest))
        violations.push(`package-lock.json: ${path} is older than ${oldest}`);
    }
  }
  if (/"resolved"\s*:/.test(lockText)) violations.push("package-lock.json: has download addresses");
  return violations;
}

export interface PackageManifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly overrides?: Readonly<Record<string, string>>;
}

/** Older ones have known holes for hostile input. */
const SAFE_VERSIONS = { ws: "8.21.0", msgpackr: "2.1.3" } as const;

function isAtLeast(version: string, oldest: string): boolean {
  const numbers = (text: string) => text.split(/[.-]/).map(Number);
  const [have, need] = [numbers(version), numbers(oldest)];
  const differing = need.findIndex((part, index) => part !== have[index]);
  return differing === -1 || have[differing]! > need[differing]!;
}

const layering: Rule = (file) => {
  const from = layerOf(file.path);
  return relativeImports(file).flatMap(({ target, offset }) => {
    const to = layerOf(target);
    if (to === from && from !== undefined) return [];
    if (from !== undefined && to !== undefined && LAYERS[from]!.includes(to)) return [];
    return [at(file, offset, `${from ?? "a stray file"} may not import ${target}`)];
  });
};

const coreParts: Rule = (file) => {
  const from = corePartOf(file.path);
  if (from === undefined) return [];
  return relativeImports(file).flatMap(({ target, offset }) => {
    const to = corePartOf(target);
    if (to === undefined || to === from || CORE_PARTS[from]!.includes(to)) return [];
    return [at(file, offset, `core's ${from} may not import ${target}`)];
  });
};

const importForm: Rule = (file) =>
  findImports(file).flatMap(({ specifier, offset }) => {
    if (specifier === undefined) return [at(file, offset, "imports something that is not a plain string")];
    if (specifier.startsWith(".") && !/\.(?:ts|json)$/.test(specifier)) {
      return [at(file, offset, `imports ${specifier} without its extension`)];
    }
    return [];
  });

const purity: Rule = (file, files) => {
  const layer = layerOf(file.path);
  if (!isPure(file.path, files)) return [];
  const allowed = PURE_PACKAGES[layer ?? ""] ?? [];
  const packages = findImports(file).flatMap(({ specifier, offset }) =>
    specifier === undefined || specifier.startsWith(".") || allowed.includes(specifier)
      ? []
      : [at(file, offset, `pure code may not import ${specifier}`)],
  );
  const mentions = IMPURE.flatMap(([pattern, why]) => findAll(file, file.code, pattern, `pure code ${why}`));
  const bytes =
    layer === "wire"
      ? []
      : findAll(file, file.code, name("Buffer|TextEncoder|TextDecoder"), "core has no bytes API");
  return [...packages, ...mentions, ...bytes];
};

const ringMath: Rule = (file) =>
  file.path.startsWith("src/core/ring/")
    ? findAll(file, file.code, RING_MATH, "a ring counts in integers")
    : [];

const namedExports: Rule = (file) =>
  file.path.startsWith("src/")
    ? findAll(file, file.code, /\bexport\s+default\b|\bexport\s*=/g, "exports without a name")
    : [];

const oneBarrel: Rule = (file) =>
  file.path.startsWith("src/") && file.path !== "src/index.ts"
    ? findAll(file, file.code, /\bexport\s+(?:type\s+)?[{*]/g, "re-exports; only src/index.ts may")
    : [];

const opensWithComment: Rule = (file) =>
  /^(?:#!.*\n\s*)?(?:\/\/|\/\*)/.test(file.text) ? [] : [at(file, 0, "does not open with a comment")];

const noAny: Rule = (file) => findAll(file, file.code, /(?<![.\w$#])any\b(?!\s*\??[:(])/g, "says any");

const noIgnores: Rule = (file) => {
  // Tests may expect an error: to pass what the types forbid. Names are put together here, for this file's own sake.
  const names = ["ignore", "nocheck", ...(file.path.startsWith("test/") ? [] : ["expect-error"])];
  const ignore = new RegExp(`@ts-(?:${names.join("|")})\\b`, "g");
  const silent = new RegExp(`${"biome"}-ignore[^:\\n]*(?::\\s*)?$`, "gm");
  return [
    ...findAll(file, file.text, ignore, "turns the compiler off"),
    ...findAll(file, file.text, silent, "turns the linter off without a reason"),
  ];
};

const TYPE_RULES: readonly Rule[] = [noAny, noIgnores];
const RULES: readonly Rule[] = [
  layering,
  coreParts,
  importForm,
  purity,
  ringMath,
  namedExports,
  oneBarrel,
  opensWithComment,
  ...TYPE_RULES,
];

function layerOf(path: string): string | undefined {
  // Beside the index, the files that put server and client together for it.
  if (/^src\/[^/]+\.ts$/.test(path)) return "index";
  const match = /^(?:src\/([^/]+)|(bench|cluster))\//.exec(path);
  const layer = match?.[1] ?? match?.[2];
  return layer !== undefined && layer in LAYERS ? layer : undefined;
}

function corePartOf(path: string): string | undefined {
  const match = /^src\/core\/(?:([^/]+)\/|([^/]+)\.ts$)/.exec(path);
  if (match === null) return undefined;
  const [, folder, file] = match;
  if (folder !== undefined) return folder in CORE_PARTS ? folder : "helpers";
  return CORE_CONTRACT.includes(file!) ? "contract" : file === "node-core" ? "node-core" : "helpers";
}

/** base, core, wire, and of the client its core with all that it imports from the client's folder. */
function isPure(path: string, files: readonly File[]): boolean {
  if (/^src\/(?:base|core|wire)\//.test(path)) return true;
  if (!path.startsWith("src/client/")) return false;
  const reached = new Set<string>();
  const waiting = files.filter((file) => file.path.startsWith("src/client/client-core"));
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (reached.has(file.path)) continue;
    reached.add(file.path);
    const targets = relativeImports(file).map(({ target }) => target);
    waiting.push(
      ...files.filter((each) => each.path.startsWith("src/client/") && targets.includes(each.path)),
    );
  }
  return reached.has(path);
}

function relativeImports(file: File): { readonly target: string; readonly offset: number }[] {
  return findImports(file).flatMap(({ specifier, offset }) =>
    specifier?.startsWith(".")
      ? [{ target: posix.normalize(posix.join(posix.dirname(file.path), specifier)), offset }]
      : [],
  );
}

function findAll(file: File, text: string, pattern: RegExp, what: string): string[] {
  return [...text.matchAll(pattern)].map((match) => at(file, match.index, `${what}: ${match[0].trim()}`));
}

function at(file: File, offset: number, what: string): string {
  return `${file.path}:${lineOf(file.text, offset)}: ${what}`;
}
