// A node in a process of its own, for tests of what the system's limits do to it. Prints its address.

import { openServer } from "../../src/server/node.ts";

const server = await openServer({ listen: "127.0.0.1:0", memory: "16mb", name: "limited" });
process.stdout.write(`${server.address}\n`);
