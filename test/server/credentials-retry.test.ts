// A file that could not be read for a moment, though it is right: no descriptor was left, or its file system was away.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { fingerprint } from "../../src/io/proofs.ts";
import { Credentials } from "../../src/server/credentials.ts";

const failing = vi.hoisted(() => ({ is: false, count: 0 }));
vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>();
  const readFileSync = ((...args: Parameters<typeof fs.readFileSync>) => {
    if (!failing.is) return fs.readFileSync(...args);
    failing.count++;
    throw Object.assign(new Error("EMFILE: too many open files"), { code: "EMFILE" });
  }) as typeof fs.readFileSync;
  return { ...fs, readFileSync };
});

const folder = mkdtempSync(join(tmpdir(), "ringhold-credentials-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("takes in a changed file also when no descriptor was left at the first try", async () => {
  const secretFile = join(folder, "secret");
  writeFileSync(secretFile, "the old secret of the cluster\n");
  const nothing = () => {};
  let errors = 0;
  const logger = { error: () => errors++, warn: nothing, info: nothing, debug: nothing };
  const sources = { secret: undefined, secretFile, usersFile: undefined, tls: undefined };
  const credentials = new Credentials(sources, logger, 20);
  credentials.start(nothing);

  failing.is = true;
  writeFileSync(secretFile, "the new secret of the cluster\n");
  await vi.waitFor(() => expect(failing.count).toBeGreaterThan(2));
  failing.is = false;

  await vi
    .waitFor(
      () => expect(credentials.fingerprints).toEqual([fingerprint("the new secret of the cluster")]),
      2_000,
    )
    .finally(() => credentials.stop());
  // Said once, however often it was tried.
  expect(errors).toBe(1);
});
