// Assertions for bugs. They stay on in production: a machine that has lost an invariant must stop before it
// corrupts what other members trust. Input from a peer or a caller is never checked with these.

/** Throws when `condition` is false. For bugs only, never for input. */
export function assert(condition: boolean, expected: string): asserts condition {
  if (!condition) throw new AssertionError(expected);
}

/** Marks the unreachable end of a `switch` over a tagged union. */
export function assertNever(value: never): never {
  throw new AssertionError(`no other case, received ${JSON.stringify(value)}`);
}

/** Thrown by {@link assert}: a bug in Ringhold, not an operating error. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";

  constructor(expected: string) {
    super(`Assertion failed, expected ${expected}`);
  }
}
