// What the benchmarks that the command line starts as well can be told: printed for --help, and after what was not understood. Apart from the
// benchmarks, so that help need not load them. They take no variables of the environment.

import { CLIENT_NAMES } from "./load/target.ts";
import { OPERATIONS } from "./load/work.ts";

/** Of `load.ts`. */
export const LOAD_USAGE = `Usage: ringhold bench load [options]

  --operation NAME     ${OPERATIONS.join(", ")} (default get)
  --outstanding N      callers of the closed loop (default 64)
  --rate R             open loop: so many calls a second
  --bytes N            size of a value (default 100)      --keys N     different keys (default 100000)
  --batch N            keys per getMany and setMany (default 100)
  --write MODE         async, quorum or all               --nodes N    nodes of the fresh cluster (default 3)
  --seconds S          measured time (default 5)          --warmup S   before it (default 2)
  --client NAME        ${CLIENT_NAMES.join(", ")} (default ringhold)
  --server A,B         a running system instead of a fresh cluster, also as ringhold://A,B; its CPU time is not known then.
                       Needed with another cache's client
  --json               prints the measurement as JSON
`;

/** Of `rebalance/run.ts`. */
export const REBALANCE_USAGE = `Usage: ringhold bench rebalance [options]

  --keys N             how many (default 1000000)         --value-bytes N    size of a value (default 100)
  --nodes N            to begin with (default 3)          --copies N         of each key (default 3)
  --rate R             calls a second (default 2000)      --quiet-seconds S  before and after each step (default 8)
  --steps A,B          add, remove, kill (SIGKILL; Ringhold only); default add,remove
  --only NAME          ringhold or redis
  --svg FILE           where the chart goes (default rebalance.svg; "" for none)
  --json               prints the results as JSON
`;

/** Of `failover.ts`. */
export const FAILOVER_USAGE = `Usage: ringhold bench failover [options]

  --rate R             calls a second (default 2000)
  --quick              leaves out Redis Cluster's default node timeout, which takes a minute
  --only NAME          ringhold or redis
`;
