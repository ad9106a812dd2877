// Redraws a block of lines in place on a terminal, at most twice a second; elsewhere prints a line when it differs from the last.

import { setTimeout as sleep } from "node:timers/promises";

/** Milliseconds between two drawings: often enough to see a death, seldom enough to read. */
const REDRAW_MS = 500;

/**
 * Draws `lines()` again and again until aborted. Never throws on abort.
 *
 * @param plain what to print where the stream is no terminal, one line at a time; a line equal to the last is left out
 */
export async function redraw(options: {
  readonly stream: NodeJS.WriteStream;
  /** Whether to redraw in place: the stream is a terminal, and a person reads it. */
  readonly isLive: boolean;
  readonly lines: () => Promise<readonly string[]>;
  readonly plain: () => Promise<string>;
  readonly signal: AbortSignal;
  /** @default 500 */
  readonly intervalMs?: number;
}): Promise<void> {
  const { stream, signal } = options;
  let drawn = 0;
  let last = "";
  while (!signal.aborted) {
    if (options.isLive) {
      const lines = await options.lines();
      if (signal.aborted) return;
      stream.write(
        replaceLines(
          drawn,
          lines.map((line) => clip(line, stream.columns ?? 80)),
        ),
      );
      drawn = lines.length;
    } else {
      const line = await options.plain();
      if (line !== last && !signal.aborted) stream.write(`${line}\n`);
      last = line;
    }
    await sleep(options.intervalMs ?? REDRAW_MS, undefined, { signal }).catch(() => {});
  }
}

/** Moves up over the lines drawn before, writes the new ones and erases what is left of the old. */
export function replaceLines(drawn: number, lines: readonly string[]): string {
  const up = drawn === 0 ? "" : `\x1b[${drawn}A`;
  return `${up}${lines.map((line) => `\r\x1b[2K${line}\n`).join("")}\x1b[J`;
}

/** A wrapped line would spoil the count of lines to move up: cuts to the terminal's width, colours not counted. */
export function clip(line: string, columns: number): string {
  let visible = 0;
  let clipped = "";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is looked for
  for (const part of line.split(/(\x1b\[[0-9;]*m)/)) {
    if (part.startsWith("\x1b[")) {
      clipped += part;
      continue;
    }
    clipped += part.slice(0, Math.max(0, columns - visible));
    visible += part.length;
  }
  return clipped;
}
