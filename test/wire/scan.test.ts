import fc from "fast-check";
import { Packr } from "msgpackr";
import { describe, expect, test } from "vitest";
import { FRAME_DEPTH_MAX, FRAME_ITEMS_MAX } from "../../src/wire/limits.ts";
import { scanFrame } from "../../src/wire/scan.ts";

const packr = new Packr({ useRecords: false });
const bytes = (...values: readonly number[]) => Uint8Array.from(values);
const repeated = (unit: readonly number[], times: number) =>
  Uint8Array.from({ length: unit.length * times }, (_, index) => unit[index % unit.length]!);

describe("scanFrame", () => {
  test("accepts whatever the encoder makes of scalars, text, bytes and arrays", () => {
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: "small", maxDepth: 6 },
        fc.constant(null),
        fc.boolean(),
        fc.maxSafeInteger(),
        fc.double(),
        fc.string({ maxLength: 300 }),
        fc.uint8Array({ maxLength: 300 }),
        fc.array(tie("value"), { maxLength: 40 }),
      ),
    }));
    fc.assert(
      fc.property(value, (value) => {
        expect(scanFrame(packr.pack(value))).toBeUndefined();
      }),
    );
  });

  test("refuses every cut of a frame, and a byte after its end", () => {
    const frame = packr.pack([
      1,
      [2, "text", new Uint8Array(300), 2 ** 40, -7, "x".repeat(70_000), [null, true]],
    ]);

    for (let end = 0; end < frame.length; end += end < 400 || end > frame.length - 20 ? 1 : 997) {
      expect(scanFrame(frame.subarray(0, end))).toBe("cut short");
    }
    expect(scanFrame(Buffer.concat([frame, bytes(0)]))).toBe("bytes after the end");
    expect(scanFrame(frame)).toBeUndefined();
  });

  test("refuses maps, extension types and the unused byte", () => {
    const refused = [
      [0x80],
      [0x81, 0xa1, 0x61, 0x01],
      [0xde, 0x00, 0x00],
      [0xdf, 0x00, 0x00, 0x00, 0x00],
      [0xc1],
      [0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01],
      [0xd5, 0x01, 0x00, 0x00],
      [0xd6, 0xff, 0x00, 0x00, 0x00, 0x00],
      [0xd7, 0xff, 0, 0, 0, 0, 0, 0, 0, 0],
      [0xd8, 0x01, ...new Uint8Array(16)],
      [0xc7, 0x00, 0x01],
      [0xc8, 0x00, 0x00, 0x01],
      [0xc9, 0x00, 0x00, 0x00, 0x00, 0x01],
    ];
    for (const value of refused) {
      expect(scanFrame(Uint8Array.from(value))).toMatch(/^a (map|type)/);
      expect(scanFrame(bytes(0x92, 0x01, ...value))).toMatch(/^a (map|type)/);
    }
  });

  test("counts depth and items exactly", () => {
    const nested = (depth: number) => bytes(...new Array<number>(depth).fill(0x91), 0x01);
    const flat = (items: number) => packr.pack(new Array<number>(items - 1).fill(1));

    expect(scanFrame(nested(FRAME_DEPTH_MAX))).toBeUndefined();
    expect(scanFrame(nested(FRAME_DEPTH_MAX + 1))).toBe("nested too deeply");
    expect(scanFrame(flat(FRAME_ITEMS_MAX))).toBeUndefined();
    expect(scanFrame(flat(FRAME_ITEMS_MAX + 1))).toBe("too many items");
    expect(scanFrame(nested(3), { depthMax: 2 })).toBe("nested too deeply");
    expect(scanFrame(flat(11), { itemsMax: 10 })).toBe("too many items");
  });

  test.each([
    ["an array of 33 million in 5 bytes", bytes(0xdd, 0x01, 0xff, 0xff, 0xff)],
    ["a hundred of them nested", repeated([0xdd, 0x01, 0xff, 0xff, 0xff], 100)],
    ["24,000 nested arrays of 65,535", repeated([0xdc, 0xff, 0xff], 24_000)],
    ["a million nested arrays of one", repeated([0x91], 1_000_000)],
    ["a million nested maps of one", repeated([0x81], 1_000_000)],
    [
      "4 MB of empty maps",
      Buffer.concat([bytes(0xdd, 0x00, 0x40, 0x00, 0x00), new Uint8Array(0x400000).fill(0x80)]),
    ],
    [
      "4 MB of empty arrays",
      Buffer.concat([bytes(0xdd, 0x00, 0x40, 0x00, 0x00), new Uint8Array(0x400000).fill(0x90)]),
    ],
    ["a map of 4 billion", bytes(0xdf, 0xff, 0xff, 0xff, 0xff)],
    ["text of 4 GB", bytes(0xdb, 0xff, 0xff, 0xff, 0xff, 0x61)],
    ["bytes of 4 GB", bytes(0xc6, 0xff, 0xff, 0xff, 0xff, 0x61)],
    [
      "a bigint extension of 1 MiB",
      Buffer.concat([bytes(0xc9, 0x00, 0x10, 0x00, 0x00, 0x42), new Uint8Array(0x100000)]),
    ],
    ["nothing at all", bytes()],
  ])("refuses %s at once", (_name, bomb) => {
    const before = performance.now();

    expect(scanFrame(bomb)).toEqual(expect.any(String));

    // Milliseconds at worst; the bound leaves room for a busy machine.
    expect(performance.now() - before).toBeLessThan(200);
  });
});
