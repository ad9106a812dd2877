/** What a write says of itself when there is nothing to say: the first try of its call, which may be handed on, and has no last instant. */
export const FIRST_TRY = { attempt: 1, isDecidedHere: false, notAfter: 0, begunAt: 0 } as const;
