// The arguments of benchmarks that the command line starts as well.

/** How a benchmark reads its arguments, and what it does with them. */
export interface Benchmark<Settings> {
  /** Printed where help was asked for, and after what was not understood. */
  readonly help: string;
  /** `undefined` where only help was asked for. @throws {Error} for what is not understood */
  read(args: readonly string[]): Settings | undefined;
  run(settings: Settings): Promise<void>;
}

/** Runs what the arguments ask for. Returns the exit code: 2 for arguments that are not understood. */
export async function runBenchmark<Settings>(
  { help, read, run }: Benchmark<Settings>,
  args: readonly string[],
): Promise<number> {
  let settings: Settings | undefined;
  try {
    settings = read(args);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${help}`);
    return 2;
  }
  if (settings === undefined) process.stdout.write(help);
  else await run(settings);
  return 0;
}

/** @throws {Error} where it is no number above 0; the message names the option */
export function above0(name: string, given: string): number {
  const value = Number(given);
  if (Number.isFinite(value) && value > 0) return value;
  throw new Error(`--${name} must be a number above 0, received ${given}`);
}

/** @throws {Error} where it is no number from 0 on; the message names the option */
export function from0(name: string, given: string): number {
  const value = given.trim() === "" ? Number.NaN : Number(given);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new Error(`--${name} must be a number from 0 on, received ${given}`);
}

/** @throws {Error} where it is no whole number from 1 to `max`; the message names the option */
export function wholeFrom1(name: string, given: string, max = Number.MAX_SAFE_INTEGER): number {
  const value = Number(given);
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return value;
  const upTo = max === Number.MAX_SAFE_INTEGER ? "on" : `to ${max}`;
  throw new Error(`--${name} must be a whole number from 1 ${upTo}, received ${given}`);
}
