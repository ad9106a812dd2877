// Files with secrets and users: read whole, replaced whole, and readable by their owner only. A node that reads one while it is replaced
// sees the old one or the new one.

import { randomBytes } from "node:crypto";
import { existsSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { UsageError } from "./failure.ts";

/** A new secret: 256 random bits in hexadecimal. */
export function newSecret(): string {
  return randomBytes(32).toString("hex");
}

/** Writes the file in one step, with the rights it had, or for its owner only when it is new. @throws {UsageError} */
export function replaceFile(file: string, text: string): void {
  const temporary = join(dirname(file), `.ringhold-${randomBytes(6).toString("hex")}`);
  try {
    const mode = existsSync(file) ? statSync(file).mode & 0o777 : 0o600;
    writeFileSync(temporary, text, { mode, flag: "wx" });
    renameSync(temporary, file);
  } catch (error) {
    throw new UsageError(
      `${file} cannot be written (${(error as NodeJS.ErrnoException).code ?? "unknown reason"})`,
    );
  }
}
