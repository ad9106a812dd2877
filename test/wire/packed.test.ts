// Where frames lie in memory: whoever holds one must find it as it was written, whatever is written later.

import { describe, expect, test } from "vitest";
import { PackedReader, PackedWriter } from "../../src/wire/packed.ts";

const LARGE = 200 * 1024;

function write(writer: PackedWriter, bytes: Uint8Array): Uint8Array {
  writer.begin();
  writer.byte(7);
  writer.raw(bytes);
  return writer.finish();
}

const filled = (length: number, value: number) => new Uint8Array(length).fill(value);

describe("PackedWriter", () => {
  test("leaves every frame as it was written, small or large", () => {
    const writer = new PackedWriter();
    const sizes = [10, LARGE, 20, 70_000, 3 * LARGE, 30, LARGE, 60_000, 60_000, 5];

    const frames = sizes.map((size, index) => write(writer, filled(size, index)));

    for (const [index, frame] of frames.entries())
      expect(frame).toEqual(new Uint8Array([7, ...filled(sizes[index]!, index)]));
  });

  test("writes small frames on where the last small one ended, behind whatever large ones came between", () => {
    const writer = new PackedWriter();
    const first = write(writer, filled(10, 1));

    write(writer, filled(LARGE, 2));
    const second = write(writer, filled(10, 3));

    expect(second.buffer).toBe(first.buffer);
    expect(second.byteOffset).toBe(first.byteOffset + first.length);
  });

  test("writes texts that are not ASCII also where they need another block", () => {
    const writer = new PackedWriter();
    write(writer, filled(60_000, 1));
    const texts = ["ü".repeat(10_000), "b"];

    writer.begin();
    writer.byte(7);
    writer.texts(texts);
    const reader = new PackedReader(writer.finish());

    expect(reader.byte()).toBe(7);
    const range = { min: 0, max: 20_000, expected: "a length" };
    expect(reader.texts(2, new Float64Array(2), range)).toEqual(texts);
    reader.end();
  });

  test("uses the memory of a large frame that was released, and of no other", () => {
    const writer = new PackedWriter();
    const kept = write(writer, filled(LARGE, 1));
    const released = write(writer, filled(LARGE, 2));

    writer.release(released);
    const next = write(writer, filled(LARGE - 100, 3));
    const another = write(writer, filled(LARGE, 4));

    expect(next.buffer).toBe(released.buffer);
    expect(another.buffer).not.toBe(released.buffer);
    expect(kept[1]).toBe(1);
  });

  test("does not take the memory that small frames share for released", () => {
    const writer = new PackedWriter();
    const first = write(writer, filled(10, 1));

    writer.release(first);
    for (let index = 0; index < 100; index++) write(writer, filled(LARGE, 2));

    expect(first).toEqual(new Uint8Array([7, ...filled(10, 1)]));
  });

  test("keeps no more than a few released blocks, and no huge ones", () => {
    const writer = new PackedWriter();
    const frames = Array.from({ length: 6 }, (_, index) => write(writer, filled(LARGE, index)));
    for (const frame of frames) writer.release(frame);
    writer.release(write(writer, filled(5 * 1024 * 1024, 9)));

    const again = Array.from({ length: 6 }, () => write(writer, filled(LARGE, 0)));

    const before = new Set(frames.map(({ buffer }) => buffer));
    expect(again.filter(({ buffer }) => before.has(buffer))).toHaveLength(4);
  });
});
