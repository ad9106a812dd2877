// A set of members of one preference list: a handful, mostly three. Every write keeps five such sets, and five of the language's own, each
// with a hash table of its own, would cost more than the write itself.

import type { MemberId } from "../../base/ids.ts";

/** As a `Set`, as far as it goes. In no particular order, but always in the same for the same calls. */
export class MemberSet {
  #first: MemberId | undefined;
  #second: MemberId | undefined;
  #third: MemberId | undefined;
  /** With more than three copies, or lists that have changed on the way. */
  #others: Set<MemberId> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(member: MemberId): boolean {
    if (this.#size === 0) return false;
    return (
      this.#first === member ||
      this.#second === member ||
      this.#third === member ||
      this.#others?.has(member) === true
    );
  }

  add(member: MemberId): void {
    if (this.has(member)) return;
    this.#size++;
    if (this.#first === undefined) {
      this.#first = member;
    } else if (this.#second === undefined) {
      this.#second = member;
    } else if (this.#third === undefined) {
      this.#third = member;
    } else {
      this.#others ??= new Set();
      this.#others.add(member);
    }
  }

  /** Returns whether it was there. */
  delete(member: MemberId): boolean {
    if (this.#size === 0) return false;
    if (this.#first === member) this.#first = undefined;
    else if (this.#second === member) this.#second = undefined;
    else if (this.#third === member) this.#third = undefined;
    else if (this.#others?.delete(member) !== true) return false;
    this.#size--;
    return true;
  }

  clear(): void {
    if (this.#size === 0) return;
    this.#first = undefined;
    this.#second = undefined;
    this.#third = undefined;
    this.#others = undefined;
    this.#size = 0;
  }

  values(): MemberId[] {
    const values: MemberId[] = [];
    if (this.#first !== undefined) values.push(this.#first);
    if (this.#second !== undefined) values.push(this.#second);
    if (this.#third !== undefined) values.push(this.#third);
    if (this.#others !== undefined) values.push(...this.#others);
    return values;
  }
}
