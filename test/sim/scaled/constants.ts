// The scaled-down build that the simulator runs: the same source with some constants replaced, so that a ring costs little and
// branches that are rare in life are common (FoundationDB calls this buggification). Nothing else differs, and `--full` runs
// the simulator without it.
//
// A constant that is not found is an error: whoever renames one learns it here.

/** By file below the root: constants and the values that they have in the simulator. */
export const SCALED: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  // The fewest for which the stratified scores have two blocks. Each node then holds some 150 slots.
  "src/base/ids.ts": { SLOT_COUNT: 256 },
  // Copies take many questions, answers stop in the middle of a slot, and drops take many rounds.
  "src/core/replication/copy-source.ts": { SLOTS_START: 8, SLOTS_MAX: 24 },
  "src/core/replication/pull-source.ts": { ANSWER_ENTRIES_MAX: 5 },
  "src/core/node/foreign-slots.ts": { DROPS_PER_ROUND: 32 },
  // Bounds that a test of seconds never meets otherwise.
  "src/core/replication/coordinator.ts": { UNCERTAIN_KEYS_MAX: 4, REPAIRS_MAX: 4 },
  "src/core/replication/hints.ts": { CLEAR_SLOTS_MAX: 16 },
  "src/client/read-group.ts": { GROUP_READS_MAX: 3 },
};

/** Whether a module is replaced. `url`: its address or path. */
export function isScaled(url: string): boolean {
  return constantsOf(url) !== undefined;
}

/**
 * The module's source with its constants replaced.
 *
 * @throws {Error} when a constant is not declared there
 */
export function scaleSource(url: string, source: string): string {
  let scaled = source;
  for (const [name, value] of Object.entries(constantsOf(url) ?? {})) {
    const declaration = new RegExp(`(\\bconst ${name}\\s*=\\s*)[\\d_e]+`);
    if (!declaration.test(scaled)) throw new Error(`Cannot scale ${name}: ${url} does not declare it`);
    scaled = scaled.replace(declaration, `$1${value}`);
  }
  return scaled;
}

function constantsOf(url: string): Readonly<Record<string, number>> | undefined {
  // Compiled or not.
  const path = url.split("?")[0]!.replace(/\.js$/, ".ts");
  const name = Object.keys(SCALED).find((each) => path.endsWith(`/${each}`));
  return name === undefined ? undefined : SCALED[name];
}
