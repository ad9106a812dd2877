import { describe, expect, test } from "vitest";
import type { MemberId } from "../../src/base/ids.ts";
import { SecretSharing } from "../../src/server/secret-sharing.ts";

const ID = (id: string) => id as MemberId;
const alive = (...ids: readonly string[]) => ids.map((id) => ({ id: ID(id), liveness: "alive" as const }));
const MEMBERS = alive("n1", "n2", "n3");

function sharingOf(told: Readonly<Record<string, readonly string[]>>): SecretSharing {
  const sharing = new SecretSharing(ID("n1"));
  for (const [member, list] of Object.entries(told)) sharing.heard(ID(member), list);
  return sharing;
}

describe("SecretSharing", () => {
  test("names nobody while all have the same secrets", () => {
    expect(sharingOf({ n2: ["a", "b"], n3: ["a", "b"] }).status(["a", "b"], MEMBERS)).toEqual({
      inUse: "a",
      accepted: ["a", "b"],
      behind: [],
    });
  });

  test.each([
    ["has not installed the new one", ["old"], ["old", "new"], "does not accept new"],
    ["does not use the new one", ["old", "new"], ["new", "old"], "uses old and not new"],
    ["has not removed the old one", ["new", "old"], ["new"], "still accepts old"],
  ])("names the member that %s", (_name, laggard, others, difference) => {
    const { behind } = sharingOf({ n2: others, n3: laggard }).status(others, MEMBERS);

    expect(behind).toEqual([{ member: "n3", difference }]);
  });

  test("names the node itself when it is the one that is behind", () => {
    const { behind } = sharingOf({ n2: ["new"], n3: ["new"] }).status(["old"], MEMBERS);

    expect(behind).toEqual([{ member: "n1", difference: "does not accept new" }]);
  });

  test("names those that differ from itself when there is no majority", () => {
    const { behind } = sharingOf({ n2: ["b"] }).status(["a"], alive("n1", "n2"));

    expect(behind.map(({ member }) => member)).toEqual(["n2"]);
  });

  test("forgets what members said that are gone", () => {
    const sharing = sharingOf({ n2: ["a"], n3: ["b"] });

    const dead = { id: ID("n3"), liveness: "dead" } as const;
    expect(sharing.status(["a"], [...alive("n1", "n2"), dead]).behind).toEqual([]);
    expect(sharing.status(["a"], MEMBERS).behind).toEqual([]);
  });

  test("goes on naming a member that lags after it was suspected for a moment", () => {
    const sharing = sharingOf({ n2: ["new"], n3: ["old"] });
    const ids = () => sharing.status(["new"], MEMBERS).behind.map(({ member }) => member);
    expect(ids()).toEqual(["n3"]);

    // Its data link stands, so nothing is said again.
    sharing.status(["new"], [...alive("n1", "n2"), { id: ID("n3"), liveness: "suspect" }]);

    expect(ids()).toEqual(["n3"]);
  });
});
