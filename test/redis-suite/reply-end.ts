// Where a reply of the Redis protocol ends, for tests that look at plain bytes.

/** The index after the reply that begins at `at` in a text of one character a byte; 0 when it is not whole. */
export function replyEnd(text: string, at: number): number {
  const lineEnd = text.indexOf("\r\n", at);
  if (lineEnd < 0) return 0;
  const [type, count] = [text[at]!, Number(text.slice(at + 1, lineEnd))];
  if ("$=".includes(type)) {
    const end = lineEnd + 2 + (count < 0 ? 0 : count + 2);
    return end <= text.length ? end : 0;
  }
  if (!"*%~>".includes(type)) return lineEnd + 2;
  let end = lineEnd + 2;
  for (let left = type === "%" ? 2 * count : count; left > 0; left--) {
    end = replyEnd(text, end);
    if (end === 0) return 0;
  }
  return end;
}
