import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { replaceFile } from "../../src/cli/private-file.ts";

const isRoot = process.getuid?.() === 0;
let folder: string;
let before: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringhold-private-"));
  before = process.umask(0o077);
});
afterEach(() => {
  process.umask(before);
  rmSync(folder, { recursive: true, force: true });
});

describe("replaceFile", () => {
  test("makes a new file for its owner only", () => {
    replaceFile(join(folder, "secret"), "text");

    expect(statSync(join(folder, "secret")).mode & 0o777).toBe(0o600);
  });

  test("leaves a file its rights, whatever the umask", () => {
    const file = join(folder, "secret");
    writeFileSync(file, "old");
    chmodSync(file, 0o640);

    replaceFile(file, "new");

    expect(readFileSync(file, "utf8")).toBe("new");
    expect(statSync(file).mode & 0o777).toBe(0o640);
    expect(readdirSync(folder)).toEqual(["secret"]);
  });

  // As when root edits the file of a node that runs as a user of its own.
  test.runIf(isRoot)("leaves a file its owner and group", () => {
    const file = join(folder, "secret");
    writeFileSync(file, "old", { mode: 0o600 });
    chownSync(file, 12_345, 23_456);

    replaceFile(file, "new");

    expect(statSync(file)).toMatchObject({ uid: 12_345, gid: 23_456 });
  });
});
