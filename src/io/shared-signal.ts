// Signals that many wait for at once: the calls of one request, the dials of one node. Node takes more than ten listeners for a leak
// and says so on the caller's terminal; here each is removed when its call is over.

import { setMaxListeners } from "node:events";

/** Allows any number of listeners on the signal. Returns it. */
export function shareSignal(signal: AbortSignal): AbortSignal {
  setMaxListeners(0, signal);
  return signal;
}
