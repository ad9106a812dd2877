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

/** A value as a person wants to see it: text as it is, everything else as JSON. Bytes are not for this: see {@link writeValue}. */
export function valueText(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value, jsonValue) ?? String(value));
}

/** Writes a value to stdout: bytes as they are, anything else as a line of text. */
export function writeValue(value: unknown): void {
  if (value instanceof Uint8Array) process.stdout.write(value);
  else printLine(valueText(value));
}

/** JSON has no bytes, no bigint, no Map and no Set: bytes become `{ "base64": ... }`, the others what comes closest. */
function jsonValue(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString("base64") };
  if (typeof value === "object" && value !== null && "type" in value && isBufferJson(value)) {
    return { base64: Buffer.from(value.data).toString("base64") };
  }
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return [...value];
  return value;
}

/** A Buffer has turned itself into this before a replacer sees it. */
function isBufferJson(value: object): value is { type: "Buffer"; data: number[] } {
  return (value as { type?: unknown }).type === "Buffer" && Array.isArray((value as { data?: unknown }).data);
}
