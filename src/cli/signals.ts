// Signals as abort signals: the first one asks to stop, a second one is up to the caller.

const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** npm hands on the Ctrl-C that the terminal has sent to this process as well: what comes so soon is the same one. Nobody presses it twice in that time. */
const ECHO_MS_MAX = 500;

/**
 * Runs `work` with a signal that aborts at the first SIGINT, SIGTERM or SIGHUP. A second one, more than half a second later, calls
 * `onSecond`.
 * Resolves when `work` does.
 */
export async function untilInterrupted(
  work: (signal: AbortSignal) => Promise<void>,
  onSecond: () => void = () => process.exit(1),
): Promise<void> {
  const controller = new AbortController();
  let firstMs = 0;
  const onSignal = (): void => {
    if (!controller.signal.aborted) {
      firstMs = performance.now();
      controller.abort();
    } else if (performance.now() - firstMs > ECHO_MS_MAX) {
      onSecond();
    }
  };
  for (const name of STOP_SIGNALS) process.on(name, onSignal);
  try {
    await work(controller.signal);
  } finally {
    for (const name of STOP_SIGNALS) process.off(name, onSignal);
  }
}
