#!/usr/bin/env node
// The `ringhold` command. Everything is in program.ts; this file only ends the process with the right code.

import { runProgram } from "./program.ts";

// A reader that goes away (`ringhold keys | head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

process.exitCode = await runProgram(process.argv.slice(2));
