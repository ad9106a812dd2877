#!/usr/bin/env node
// The `ringhold` command. Everything is in program.ts; this file only ends the process with the right code.

import { EXIT, errorLine } from "./failure.ts";
import { whenNpxEnds } from "./npx.ts";
import { tell } from "./output.ts";
import { runProgram } from "./program.ts";

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // A reader that goes away (`ringhold keys | head`) is no error.
  if (error.code === "EPIPE") process.exit(EXIT.fine);
  // A terminal that goes away sends SIGHUP: what has begun is ended in order.
  if (process.stdout.isTTY) return;
  tell(errorLine(new Error(`Cannot write to stdout (${error.code})`)));
  process.exit(EXIT.failed);
});
// Nobody may be there to be told any more. What is to be done is done all the same.
process.stderr.on("error", () => {});

whenNpxEnds(() => process.kill(process.pid, "SIGTERM"));

process.exitCode = await runProgram(process.argv.slice(2));
