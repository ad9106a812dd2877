// Layering, determinism of the pure layers, and a few habits, enforced over the project's own sources. Every rule is also shown
// a violation, so that none of them can pass by having gone blind.

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: planted sources hold templates
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { findImports, scanSource } from "./support/source-text.ts";
import {
  checkPackages,
  checkSources,
  checkTests,
  type PackageManifest,
  type Sources,
} from "./support/tidy-rules.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

function readSources(...folders: readonly string[]): Sources {
  const paths = folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  return new Map(
    paths.map((path) => [relative(ROOT, path).split(sep).join("/"), readFileSync(path, "utf8")]),
  );
}

/** What the rules say of one file whose body follows a proper opening comment. */
function violationsIn(path: string, body: string, others: Sources = new Map()): string[] {
  return checkSources(new Map([[path, `// Planted.\n${body}\n`], ...others])).filter((line) =>
    line.startsWith(path),
  );
}

describe("The project", () => {
  const sources = readSources("src", "cluster", "bench");

  test("keeps the layering, the determinism and the habits of its sources", () => {
    expect(sources.size).toBeGreaterThan(30);
    expect(checkSources(sources)).toEqual([]);
  });

  test("leaves no test out and no type unchecked in its tests", () => {
    const tests = readSources("test");
    // This file and the rules quote what they forbid.
    const others = new Map([...tests].filter(([path]) => path !== "test/tidy.test.ts"));

    expect(others.size).toBeGreaterThan(10);
    expect(checkTests(others)).toEqual([]);
  });

  test("depends on exact, safe versions, and its lockfile names no download address", () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as PackageManifest;
    const lock = readFileSync(join(ROOT, "package-lock.json"), "utf8");

    expect(checkPackages(manifest, lock)).toEqual([]);
  });
});

describe("The layering rule", () => {
  test.each([
    ["src/base/a.ts", "../core/messages.ts"],
    ["src/core/a.ts", "../wire/codec.ts"],
    ["src/core/ring/a.ts", "../../io/hashes.ts"],
    ["src/wire/a.ts", "../io/link.ts"],
    ["src/io/a.ts", "../server/node.ts"],
    ["src/io/a.ts", "../client/cache.ts"],
    ["src/server/a.ts", "../client/cache.ts"],
    ["src/client/a.ts", "../server/node.ts"],
    ["src/client/a.ts", "../index.ts"],
    ["src/index.ts", "./cli/main.ts"],
    ["src/server/a.ts", "../../cluster/local-cluster.ts"],
    ["src/server/a.ts", "../../test/support/x.ts"],
    ["cluster/a.ts", "../src/cli/main.ts"],
    ["src/elsewhere/a.ts", "../base/ids.ts"],
  ])("refuses that %s imports %s", (path, specifier) => {
    for (const body of [
      `import { x } from "${specifier}";`,
      `import type { X } from '${specifier}';`,
      `import "${specifier}";`,
      `import {\n  x,\n  y,\n} from "${specifier}";`,
      `const x = await import("${specifier}");`,
      `type X = import("${specifier}").X;`,
      `const a = /"/; import { x } from "${specifier}";`,
    ]) {
      expect(violationsIn(path, body).join()).toContain("may not import");
    }
  });

  test.each([
    ["src/core/a.ts", "../base/ids.ts"],
    ["src/wire/a.ts", "../core/messages.ts"],
    ["src/server/a.ts", "../io/link.ts"],
    ["src/index.ts", "./server/node.ts"],
    ["src/cli/a.ts", "../../cluster/local-cluster.ts"],
    ["src/cli/commands/a.ts", "../../index.ts"],
    ["bench/a.ts", "../src/core/ring/ring.ts"],
  ])("lets %s import %s", (path, specifier) => {
    expect(violationsIn(path, `import { x } from "${specifier}";`)).toEqual([]);
  });

  test.each([
    ["src/core/ring/a.ts", "../membership/membership.ts"],
    ["src/core/ring/a.ts", "../store/store.ts"],
    ["src/core/membership/a.ts", "../ring/ring.ts"],
    ["src/core/store/a.ts", "../replication/clock.ts"],
    ["src/core/replication/a.ts", "../membership/membership.ts"],
    ["src/core/replication/a.ts", "../node-core.ts"],
    ["src/core/links.ts", "./membership/membership.ts"],
    ["src/core/messages.ts", "./replication/clock.ts"],
    ["src/core/messages.ts", "./node-core.ts"],
  ])("refuses within core that %s imports %s", (path, specifier) => {
    expect(violationsIn(path, `import type { X } from "${specifier}";`).join()).toContain("may not import");
  });

  test.each([
    ["src/core/replication/a.ts", "../ring/ring.ts"],
    ["src/core/replication/a.ts", "../store/store.ts"],
    ["src/core/ring/a.ts", "../messages.ts"],
    ["src/core/node-core.ts", "./membership/membership.ts"],
    ["src/core/links.ts", "./replication/outbox.ts"],
  ])("lets within core %s import %s", (path, specifier) => {
    expect(violationsIn(path, `import type { X } from "${specifier}";`)).toEqual([]);
  });

  test("refuses imports that cannot be followed", () => {
    expect(violationsIn("src/io/a.ts", "await import(name);").join()).toContain("plain string");
    expect(violationsIn("src/io/a.ts", "await import(`./${name}.ts`);").join()).toContain("plain string");
    expect(violationsIn("src/io/a.ts", 'import { x } from "./b";').join()).toContain("extension");
    expect(violationsIn("src/io/a.ts", 'import { x } from "./b.js";').join()).toContain("extension");
  });
});

describe("The purity rule", () => {
  const impure = [
    "async function f() {}",
    "const f = async () => 1;",
    "const f = async (x) => x;",
    "const f = async x => x;",
    "class A { async get() {} }",
    "class A { async #get() {} }",
    "await x;",
    "for await (const x of y) {}",
    "new Promise(() => {});",
    "function f(): Promise<void> {}",
    "Promise.resolve();",
    "setTimeout(f, 1);",
    "setInterval(f, 1);",
    "setImmediate(f);",
    "clearTimeout(t);",
    "queueMicrotask(f);",
    "Date.now();",
    "new Date();",
    "function f(at: Date) {}",
    "performance.now();",
    "Math.random();",
    "Math . random();",
    "crypto.getRandomValues(a);",
    "console.log(1);",
    "process.env;",
    "globalThis.x;",
    "fetch(url);",
    "a.localeCompare(b);",
    "a.toLocaleString();",
    "new Intl.Collator();",
    "new WeakRef(a);",
    "const text = `now: ${Date.now()}`;",
    "const text = `a ${`b ${process.pid}`}`;",
    'import fs from "node:fs";',
    'import { LRUCache } from "left-pad";',
    'const fs = require("fs");',
  ];

  test.each(impure)("finds %s in base, core, wire and the client's core", (body) => {
    for (const path of [
      "src/base/a.ts",
      "src/core/a.ts",
      "src/core/ring/a.ts",
      "src/wire/a.ts",
      "src/client/client-core.ts",
    ]) {
      expect(violationsIn(path, body).join()).toContain("pure code");
    }
  });

  test("finds it in what the client's core imports, however far, and not in the client's shell", () => {
    const core = new Map([
      ["src/client/client-core.ts", '// Core.\nimport { a } from "./a.ts";\n'],
      ["src/client/a.ts", '// A.\nimport type { B } from "./b.ts";\n'],
    ]);

    expect(violationsIn("src/client/b.ts", "Date.now();", core)).toHaveLength(1);
    expect(violationsIn("src/client/shell.ts", "Date.now();", core)).toEqual([]);
    expect(violationsIn("src/io/clock.ts", "Date.now();")).toEqual([]);
  });

  test.each([
    "// Date.now() and await\nconst a = 1;",
    "/* process.env\n * Math.random() */\nconst a = 1;",
    'const text = "await Promise.resolve()";',
    "const text = 'new Date()';",
    "const text = `setTimeout`;",
    'const text = "it\\"s process.env";',
    "const pattern = /console.log(Date)/;",
    'const pattern = /["`]/; const text = "Date";',
    "const half = total / 2; const text = 'Date'; const third = total / 3;",
    'const modes = { async: 1, quorum: 2 }; if (mode === "async") f();',
    "interface A { readonly process?: string; await: number }",
    "const a = b.process + c.performance + this.#crypto;",
    "const Update = 1; const asyncMode = 2; const processing = 3;",
    "const text = `${a}Date${b}`;",
  ])("does not mind %j", (body) => {
    expect(violationsIn("src/core/a.ts", body)).toEqual([]);
  });

  test("allows the bytes API in wire only", () => {
    expect(violationsIn("src/core/a.ts", "new TextEncoder();")).toHaveLength(1);
    expect(violationsIn("src/base/a.ts", "Buffer.from(a);")).toHaveLength(1);
    expect(violationsIn("src/wire/a.ts", "new TextEncoder();")).toEqual([]);
  });

  test("allows each pure layer its own packages only", () => {
    expect(violationsIn("src/core/store/a.ts", 'import { LRUCache } from "lru-cache";')).toEqual([]);
    expect(violationsIn("src/wire/a.ts", 'import { pack } from "msgpackr";')).toEqual([]);
    expect(violationsIn("src/base/a.ts", 'import { LRUCache } from "lru-cache";')).toHaveLength(1);
    expect(violationsIn("src/core/a.ts", 'import { pack } from "msgpackr";')).toHaveLength(1);
  });

  test.each(["Math.log(2);", "Math.sqrt(2);", "Math.pow(2, 3);", "const a = 2 ** 3;", "Math.round(1.5);"])(
    "finds %s in the ring, where members must agree",
    (body) => {
      expect(violationsIn("src/core/ring/a.ts", body)).toHaveLength(1);
      expect(violationsIn("src/core/membership/a.ts", body)).toEqual([]);
    },
  );
});

describe("The rules on exports, comments and types", () => {
  test.each([
    ["export default 1;", "without a name"],
    ["export default class A {}", "without a name"],
    ['export * from "./b.ts";', "re-exports"],
    ['export { b } from "./b.ts";', "re-exports"],
    ['export type { B } from "./b.ts";', "re-exports"],
    ["export { b };", "re-exports"],
    ["let a: any;", "says any"],
    ["const a = b as any;", "says any"],
    ["const a: Array<any> = [];", "says any"],
    ["function f(...a: any[]): void {}", "says any"],
    ["type A = string | any;", "says any"],
    ["// @ts-ignore\nconst a = 1;", "compiler"],
    ["/* @ts-expect-error: why */ const a = 1;", "compiler"],
    ["// @ts-nocheck", "compiler"],
    ["// biome-ignore lint/style/x\nconst a = 1;", "linter"],
  ])("find %s", (body, what) => {
    expect(violationsIn("src/io/a.ts", body).join()).toContain(what);
  });

  test.each([
    "export const a = 1;",
    "export type A = { readonly any: number };",
    "const first = await Promise.any(all);",
    "// any member may do this\nexport const a = 'any';",
    "// biome-ignore lint/style/x: the protocol has this name\nconst a = 1;",
  ])("do not mind %j", (body) => {
    expect(violationsIn("src/io/a.ts", body)).toEqual([]);
  });

  test("let the public index re-export", () => {
    expect(violationsIn("src/index.ts", 'export { connect } from "./client/cache.ts";')).toEqual([]);
  });

  test("find a file that does not open with a comment", () => {
    expect(checkSources(new Map([["src/io/a.ts", "export const a = 1;\n"]])).join()).toContain("comment");
    expect(checkSources(new Map([["src/io/a.ts", "#!/usr/bin/env node\n// Says why.\n"]]))).toEqual([]);
  });

  test("find tests that are left out", () => {
    const found = (body: string) => checkTests(new Map([["test/a.test.ts", body]])).length;

    for (const body of [
      "test.only('a', f);",
      "describe.skip('a', f);",
      "it.only.each([1])('a', f);",
      "test.concurrent.skip('a', f);",
    ]) {
      expect(found(body)).toBe(1);
    }
    expect(found("test('calls .only and test.skip', () => { list.skip(1); });")).toBe(0);
    expect(found("const a: any = 1;")).toBe(1);
  });

  test("say where", () => {
    expect(violationsIn("src/core/a.ts", "\nconst a = 1;\nDate.now();")).toEqual([
      "src/core/a.ts:4: pure code reads a clock: Date",
    ]);
  });
});

describe("The rules on packages", () => {
  const manifest = { dependencies: { ws: "8.21.0", msgpackr: "2.1.3" } };
  const lockOf = (versions: Record<string, string>) =>
    JSON.stringify({
      packages: Object.fromEntries(
        Object.entries(versions).map(([path, version]) => [`node_modules/${path}`, { version }]),
      ),
    });
  const good = { ws: "8.21.0", msgpackr: "2.1.3" };

  test("accept exact versions that the lockfile has too", () => {
    expect(checkPackages(manifest, lockOf(good))).toEqual([]);
    expect(checkPackages({ dependencies: { ws: "9.0.0" } }, lockOf({ ...good, ws: "9.0.0" }))).toEqual([]);
  });

  test.each(["^8.21.0", "~8.21.0", "8.x", "*", "latest", ">=8.21.0"])("refuse the version %s", (version) => {
    expect(checkPackages({ dependencies: { ws: version } }, lockOf(good))).toHaveLength(1);
  });

  test("refuse old versions of what reads hostile bytes, copies of other packages included", () => {
    expect(checkPackages({}, lockOf({ ...good, ws: "8.20.9" }))).toHaveLength(1);
    expect(checkPackages({}, lockOf({ ...good, msgpackr: "2.1.2" }))).toHaveLength(1);
    expect(checkPackages({}, lockOf({ ...good, "other/node_modules/ws": "7.5.0" }))).toHaveLength(1);
    expect(checkPackages({}, lockOf({ ws: "8.21.0" }))).toHaveLength(1);
  });

  test("refuse a lockfile that differs from the manifest or names addresses", () => {
    expect(checkPackages(manifest, lockOf({ ...good, ws: "8.22.0" }))).toHaveLength(1);
    expect(
      checkPackages(manifest, lockOf(good).replace('"version"', '"resolved":"https://x/","version"')),
    ).toHaveLength(1);
  });
});

describe("scanSource", () => {
  test("keeps offsets and lines", () => {
    const text = 'a // b\n"c\\"d" + `e${f("g")}h` / /i"/.x;\n';
    const { code, withoutComments } = scanSource(text);

    expect(code).toBe('a     \n"    " + ` ${f(" ")} ` / /  /.x;\n');
    expect(withoutComments).toBe(text.replace("// b", "    "));
  });

  test("finds every form of import at its place", () => {
    const text =
      'import a from "a";\nimport "b";\nexport * from \'c\';\nimport("d");\nimport(e);\nconst f = "from \'g\'";\n';

    expect(findImports(scanSource(text)).map(({ specifier }) => specifier)).toEqual([
      "a",
      "b",
      "c",
      "d",
      undefined,
    ]);
  });
});
