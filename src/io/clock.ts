// The real clocks. Everything below `io` is told the time; this is where it comes from.

import type { Now } from "../core/machine.ts";

/** Both clocks of this process, read now: monotonic milliseconds since it started, and wall time since 1970. */
export function readNow(): Now {
  return { monoMs: performance.now(), wallMs: Date.now() };
}
