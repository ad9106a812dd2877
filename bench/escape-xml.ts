// Text as XML has to have it, for the pictures that benchmarks draw.

/** The text with what XML takes for markup written out; good between tags and in attributes. */
export function escapeXml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
