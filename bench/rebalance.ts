// `npm run bench:rebalance -- [options]`, or `ringhold bench rebalance`: see rebalance/run.ts.

import { runRebalance } from "./rebalance/run.ts";

process.exitCode = await runRebalance(process.argv.slice(2));
