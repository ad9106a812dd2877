// The ledger's verdicts, as a table: what was written, how it ended, what is held, what that means.

import { describe, expect, test } from "vitest";
import { CounterLedger, type Finding, Ledger, ledgerValue, type WriteEnd } from "../../cluster/ledger.ts";

type Step = readonly ["set" | "delete", WriteEnd];

function ledgerOf(steps: readonly Step[]): Ledger {
  const ledger = new Ledger();
  for (const [kind, end] of steps) ledger.settle(ledger.begin("k", { isDelete: kind === "delete" }), end);
  return ledger;
}

const value = (sequence: number) => ledgerValue("k", sequence, 20);

describe("Ledger.check", () => {
  test.each<[string, readonly Step[], unknown, Finding]>([
    ["ok when the last acknowledged value is held", [["set", "acknowledged"]], value(1), "ok"],
    ["lost when an acknowledged value is absent", [["set", "acknowledged"]], undefined, "lost"],
    [
      "lost when an older acknowledged value is back",
      [
        ["set", "acknowledged"],
        ["set", "acknowledged"],
      ],
      value(1),
      "lost",
    ],
    [
      "lost when a value is back that was deleted",
      [
        ["set", "acknowledged"],
        ["delete", "acknowledged"],
      ],
      value(1),
      "lost",
    ],
    [
      "ok when an undecided later value is held",
      [
        ["set", "acknowledged"],
        ["set", "maybe"],
      ],
      value(2),
      "ok",
    ],
    [
      "ok when an undecided later value is not held",
      [
        ["set", "acknowledged"],
        ["set", "maybe"],
      ],
      value(1),
      "ok",
    ],
    [
      "ok when an undecided delete removed it",
      [
        ["set", "acknowledged"],
        ["delete", "maybe"],
      ],
      undefined,
      "ok",
    ],
    [
      "lost when an undecided value came before the acknowledged one",
      [
        ["set", "maybe"],
        ["set", "acknowledged"],
      ],
      value(1),
      "lost",
    ],
    [
      "phantom when a write that certainly failed is held",
      [
        ["set", "acknowledged"],
        ["set", "no"],
      ],
      value(2),
      "phantom",
    ],
    ["phantom when the value was never written", [["set", "acknowledged"]], "something else", "phantom"],
    [
      "phantom when the value is another key's",
      [["set", "acknowledged"]],
      ledgerValue("j", 1, 20),
      "phantom",
    ],
    ["ok when nothing was acknowledged and nothing is held", [["set", "maybe"]], undefined, "ok"],
    [
      "ok when a deleted key is absent",
      [
        ["set", "acknowledged"],
        ["delete", "acknowledged"],
      ],
      undefined,
      "ok",
    ],
  ])("says %s", (_name, steps, held, finding) => {
    expect(ledgerOf(steps).check("k", held)).toBe(finding);
  });

  test("says phantom when a key holds something that nobody wrote", () => {
    expect(new Ledger().check("k", "x")).toBe("phantom");
    expect(new Ledger().check("k", undefined)).toBe("ok");
  });
});

describe("Ledger.judgeRead", () => {
  test("says stale when a read returns less than what was acknowledged before it", () => {
    const ledger = ledgerOf([
      ["set", "acknowledged"],
      ["set", "acknowledged"],
    ]);
    const mark = ledger.markRead("k");

    expect(ledger.judgeRead(mark, value(1))).toBe("stale");
    expect(ledger.judgeRead(mark, undefined)).toBe("stale");
    expect(ledger.judgeRead(mark, value(2))).toBe("ok");
  });

  test("says ok when a write that began during the read is seen, or removed the key", () => {
    const ledger = ledgerOf([["set", "acknowledged"]]);
    const mark = ledger.markRead("k");
    ledger.begin("k", { isDelete: true });

    expect(ledger.judgeRead(mark, undefined)).toBe("ok");
    expect(ledger.judgeRead(mark, value(2))).toBe("ok");
  });
});

describe("CounterLedger.check", () => {
  test("allows from the acknowledged to the acknowledged and undecided increments", () => {
    const counters = new CounterLedger();
    for (const end of ["acknowledged", "acknowledged", "maybe", "no"] as const) counters.settle("c", end);

    const findings = [1, 2, 3, 4, undefined, "2"].map((held) => counters.check("c", held));

    expect(findings).toEqual(["lost", "ok", "ok", "phantom", "lost", "phantom"]);
  });
});
