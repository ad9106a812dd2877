// Who knows which secrets: nodes tell each other the fingerprints of theirs, so that a change of the secret can be followed, and a node that
// lags a step is named before the step that would shut it out.
//
// What most nodes say is taken for the cluster's state (this node's own word when there is no majority); whoever says something else is
// behind. Fingerprints go only over links whose ends have proved a secret.

import type { MemberId } from "../base/ids.ts";
import type { MemberStatus, SecretsStatus } from "../core/status.ts";

/** Members whose word is kept. Further ones are not listened to. */
const MEMBERS_MAX = 4_096;

/** See the top of the file. */
export class SecretSharing {
  readonly #self: MemberId;
  readonly #told = new Map<MemberId, readonly string[]>();

  constructor(self: MemberId) {
    this.#self = self;
  }

  /** Takes what a member says of its secrets, the one in use first. */
  heard(member: MemberId, fingerprints: readonly string[]): void {
    if (this.#told.has(member) || this.#told.size < MEMBERS_MAX) this.#told.set(member, fingerprints);
  }

  /**
   * What is known now. Forgets who is dead or gone; not who is only suspected, and says nothing anew when that is over.
   *
   * @param own This node's fingerprints.
   */
  status(own: readonly string[], members: readonly Pick<MemberStatus, "id" | "liveness">[]): SecretsStatus {
    const there = new Set(members.filter(({ liveness }) => liveness !== "dead").map(({ id }) => id));
    for (const member of this.#told.keys()) if (!there.has(member)) this.#told.delete(member);
    const all = new Map<MemberId, readonly string[]>([[this.#self, own], ...this.#told]);
    const common = mostCommon([...all.values()], own);
    const behind = [...all]
      .filter(([, list]) => !isSame(list, common))
      .map(([member, list]) => ({ member, difference: differenceOf(list, common) }))
      .sort((a, b) => (a.member < b.member ? -1 : 1));
    return { inUse: own[0] ?? "", accepted: own, behind };
  }
}

/** The list that more than half have; `own` when there is none. */
function mostCommon(lists: readonly (readonly string[])[], own: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const list of lists) counts.set(list.join(), (counts.get(list.join()) ?? 0) + 1);
  return lists.find((list) => 2 * counts.get(list.join())! > lists.length) ?? own;
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index]);
}

/** What a node would have to do, in words. Its most urgent step first. */
function differenceOf(list: readonly string[], common: readonly string[]): string {
  const missing = common.find((name) => !list.includes(name));
  if (missing !== undefined) return `does not accept ${missing}`;
  if (list[0] !== common[0]) return `uses ${list[0] ?? "none"} and not ${common[0] ?? "none"}`;
  return `still accepts ${list.find((name) => !common.includes(name)) ?? "others in another order"}`;
}
