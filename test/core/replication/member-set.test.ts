// The small set against the language's own.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { MemberId } from "../../../src/base/ids.ts";
import { MemberSet } from "../../../src/core/replication/member-set.ts";

const IDS = ["a", "b", "c", "d", "e", "f"] as MemberId[];

test("MemberSet holds what a Set would after any calls", () => {
  const step = fc.tuple(fc.constantFrom("add", "delete", "clear"), fc.constantFrom(...IDS));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const small = new MemberSet();
      const model = new Set<MemberId>();

      for (const [call, id] of steps) {
        if (call === "add") {
          small.add(id);
          model.add(id);
        } else if (call === "delete") {
          expect(small.delete(id)).toBe(model.delete(id));
        } else if (steps.length % 3 === 0) {
          small.clear();
          model.clear();
        }
        expect(small.size).toBe(model.size);
      }

      expect(small.values().sort()).toEqual([...model].sort());
      for (const id of IDS) expect(small.has(id)).toBe(model.has(id));
    }),
  );
});
