import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Credentials } from "../../src/server/credentials.ts";
import { createLogger } from "../../src/server/logger.ts";

const folder = mkdtempSync(join(tmpdir(), "ringhold-credentials-"));
const open: Credentials[] = [];
afterEach(() => {
  for (const credentials of open.splice(0)) credentials.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe("Credentials", () => {
  test("take in a file that changes between their making and their start", async () => {
    const secretFile = join(folder, "secret");
    writeFileSync(secretFile, "the first secret of all\n");
    const sources = { secret: undefined, secretFile, usersFile: undefined, tls: undefined };
    const credentials = new Credentials(sources, createLogger("silent", "n1"), 5);
    open.push(credentials);
    // A node binds its ports meanwhile.
    writeFileSync(secretFile, "the second secret, a longer one\n");
    const changed: string[] = [];

    credentials.start((part) => changed.push(part));

    await vi.waitFor(() => expect(changed).toEqual(["secrets"]));
    expect(credentials.secrets).toEqual(["the second secret, a longer one"]);
  });
});
