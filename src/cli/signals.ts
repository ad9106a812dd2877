// Signals as abort signals: the first one asks to stop, a second one is up to the caller.

const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs `work` with a signal that aborts at the first SIGINT, SIGTERM or SIGHUP. A second one calls `onSecond`.
 * Resolves when `work` does.
 */
export async function untilInterrupted(
  work: (signal: AbortSignal) => Promise<void>,
  onSecond: () => void = () => process.exit(1),
): Promise<void> {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) onSecond();
    else controller.abort();
  };
  for (const name of STOP_SIGNALS) process.on(name, onSignal);
  try {
    await work(controller.signal);
  } finally {
    for (const name of STOP_SIGNALS) process.off(name, onSignal);
  }
}
