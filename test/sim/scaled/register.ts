// Installs the scaled-down build: `node --import ./.sim/test/sim/scaled/register.js ...`. With `--full` in the arguments the
// constants stay as they are.

import { register } from "node:module";

const hooks = import.meta.url.endsWith(".ts") ? "./hooks.ts" : "./hooks.js";

if (!process.argv.includes("--full")) register(hooks, import.meta.url);
