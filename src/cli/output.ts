// What commands write: data on stdout, words on stderr, colour only on a terminal (NO_COLOR and FORCE_COLOR are honoured).

import { styleText } from "node:util";
import { type Paint, plainPaint } from "../../cluster/text-table.ts";

/** Writes one line of data. */
export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Writes data as one line of JSON. */
export function printJson(data: unknown): void {
  printLine(JSON.stringify(data, jsonValue));
}

/** Writes one line for people. */
export function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Colours for a stream, or none when it is no terminal. */
export function paintFor(stream: NodeJS.WriteStream): Paint {
  if (!stream.isTTY && process.env.FORCE_COLOR === undefined) return plainPaint;
  return (look, text) => styleText(look, text, { stream });
}

/**
 * A value as a person wants to see it: text and numbers as they are, everything else as JSON. Bytes are not for this: see
 * {@link writeValue}.
 */
export function valueText(value: unknown): string {
  if (typeof value === "string") return value;
  // JSON has no NaN and no infinity: it would say null, which is another value.
  if (typeof value === "number") return String(value);
  return JSON.stringify(value, jsonValue) ?? String(value);
}

/** Writes a value to stdout: bytes as they are, anything else as a line of text. */
export function writeValue(value: unknown): void {
  if (value instanceof Uint8Array) process.stdout.write(value);
  else printLine(valueText(value));
}

/**
 * JSON has no bytes, no bigint, no Map and no Set: bytes become `{ "base64": ... }`, the others what comes closest. Bytes are looked for where they
 * stand, because a Buffer has turned itself into an object before a replacer is given it.
 */
function jsonValue(this: Readonly<Record<string, unknown>>, key: string, value: unknown): unknown {
  const held = this[key];
  if (held instanceof Uint8Array) return { base64: Buffer.from(held).toString("base64") };
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return [...value];
  return value;
}
