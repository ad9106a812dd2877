// The other end of a copy: answers a pull from what this node holds. Stateless: the cursor is the last key sent, in key order,
// so a lost answer or a restart of either side costs one message.

import type { Slot } from "../../base/ids.ts";
import type { Entry, Pull, PullReply } from "../messages.ts";
import type { Store } from "../store/store.ts";
import type { ClusterView } from "./cluster-view.ts";
import type { SlotStates } from "./slot-states.ts";

/** An answer stops after the entry that reaches one of these: a step must stay short, and a frame small. */
const ANSWER_BYTES_MAX = 128 * 1024;
const ANSWER_ENTRIES_MAX = 128;

/** Answers one pull. `isBusy`: whether callers are served here. */
export function answerPull(
  pull: Pull,
  parts: { readonly store: Store; readonly slots: SlotStates; readonly view: ClusterView },
  isBusy: boolean,
): PullReply {
  const { store, slots, view } = parts;
  const reply = { kind: "pulled", id: pull.id, isBusy } as const;
  const nothing = { entries: [], slotsDone: 0, floors: [], cleared: [], entitled: [], isSame: [], after: "" };
  if (!pull.isRehearsal && view.ring?.id !== pull.ringId) return { ...reply, status: "ring", ...nothing };

  const entries: Entry[] = [];
  const done: { slot: Slot; isEntitled: boolean; isSame: boolean }[] = [];
  let bytes = 0;
  let after = "";
  for (const [index, slot] of pull.slots.entries()) {
    if (!slots.isEntitled(slot)) {
      done.push({ slot, isEntitled: false, isSame: slots.isFilling(slot) });
      continue;
    }
    const cursor = index === 0 ? pull.after : "";
    const asked = pull.digests[index];
    const held = store.digest(slot);
    if (cursor === "" && asked?.sum === held.sum && asked.count === held.count) {
      done.push({ slot, isEntitled: true, isSame: true });
      continue;
    }
    const rest = keysAfter(store, slot, cursor);
    let taken = 0;
    while (
      taken < rest.length &&
      (entries.length === 0 || (bytes < ANSWER_BYTES_MAX && entries.length < ANSWER_ENTRIES_MAX))
    ) {
      const entry = store.peek(slot, rest[taken++]!)!; // nothing changed since its key was listed
      entries.push(entry);
      bytes += entry.key.length + (entry.value?.length ?? 0) + 32;
    }
    if (taken < rest.length) {
      after = taken > 0 ? rest[taken - 1]! : cursor;
      break;
    }
    done.push({ slot, isEntitled: true, isSame: false });
  }
  return {
    ...reply,
    status: "ok",
    entries,
    slotsDone: done.length,
    floors: done.map(({ slot }) => store.floor(slot)),
    cleared: done.map(({ slot }) => store.clearedVersion(slot)),
    entitled: done.map(({ isEntitled }) => isEntitled),
    isSame: done.map(({ isSame }) => isSame),
    after,
  };
}

function keysAfter(store: Store, slot: Slot, after: string): string[] {
  const keys: string[] = [];
  for (const { key } of store.heads(slot)) if (key > after) keys.push(key);
  return keys.sort();
}
