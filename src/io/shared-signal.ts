// Signals that many wait for at once: the calls of one request, the dials of one node. Node takes more than ten listeners for a leak
// and says so on the caller's terminal; here each is removed when its call is over.

import { setMaxListeners } from "node:events";

/** Allows any number of listeners on the signal. Returns it. Those that are not Node's own (jsdom's, say) do not count them. */
export function shareSignal(signal: AbortSignal): AbortSignal {
  if (signal instanceof EventTarget) setMaxListeners(0, signal);
  return signal;
}
