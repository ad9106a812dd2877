// Files with secrets and users: read whole, replaced whole, and readable by their owner only. A node that reads one while it is replaced
// sees the old one or the new one.

import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, existsSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { UsageError } from "./failure.ts";

/** A new secret: 256 random bits in hexadecimal. */
export function newSecret(): string {
  return randomBytes(32).toString("hex");
}

/** Writes the file in one step, with the rights and the owner it had, or for its owner only when it is new. @throws {UsageError} */
export function replaceFile(file: string, text: string): void {
  const temporary = join(dirname(file), `.ringhold-${randomBytes(6).toString("hex")}`);
  try {
    writeFileSync(temporary, text, { mode: 0o600, flag: "wx" });
    if (existsSync(file)) giveRightsOf(file, temporary);
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new UsageError(
      `${file} cannot be written (${(error as NodeJS.ErrnoException).code ?? "unknown reason"})`,
    );
  }
}

/** Whoever reads the one, such as a node that runs as another user, must be able to read the other. The mode says what a umask would take away. */
function giveRightsOf(file: string, other: string): void {
  const { mode, uid, gid } = statSync(file);
  const own = statSync(other);
  if (own.uid !== uid || own.gid !== gid) chownSync(other, uid, gid);
  chmodSync(other, mode & 0o777);
}
