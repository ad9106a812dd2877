// What copies of slots travel as: pulls and their answers, as packed columns like the other frequent kinds (`columns.ts`). Their lists are
// columns too, those of all messages of the run one after the other; how long each is stands in a column of its own. A slot whose
// digests agree so costs the asker about 11 bytes and the source 4, and no object on the way.
//
// Invariant: the lists of a run hold at most FRAME_ITEMS_MAX values, and those of a message what `schema.ts` allows.

import { SLOT_COUNT, type Slot } from "../base/ids.ts";
import type { Entry, Pull, PullReply, SlotDigest } from "../core/messages.ts";
import {
  BOOL,
  COUNT,
  type Columns,
  choice,
  readEntries,
  readIntegers,
  readRingIds,
  room,
  small,
  UINT32,
  write,
  writeEntries,
  writeIds,
  writeRingIds,
} from "./column-fields.ts";
import { check } from "./fields.ts";
import { FRAME_ITEMS_MAX, KEY_BYTES_MAX, PULL_ENTRIES_MAX, SLOTS_MAX } from "./limits.ts";
import type { NumberRange, PackedReader, PackedWriter, Scratch } from "./packed.ts";

const STATUS = choice<PullReply["status"]>({ ok: 0, ring: 1 });
const SLOT: NumberRange = { min: 0, max: SLOT_COUNT - 1, expected: "a slot" };
const KEY_PART: NumberRange = {
  min: 0,
  max: KEY_BYTES_MAX,
  expected: `text of at most ${KEY_BYTES_MAX} bytes`,
};

/** A column of the values of all lists; nothing when there are none. */
function writeLists<M, T>(
  run: readonly M[],
  out: PackedWriter,
  list: (message: M) => readonly T[],
  read: (value: T) => number,
): void {
  let total = 0;
  for (const message of run) total += list(message).length;
  if (total === 0) return;
  const scratch = out.scratch(total);
  let at = 0;
  for (const message of run) for (const value of list(message)) scratch[at++] = read(value);
  out.numbers(scratch, total);
}

/** How long the list of each message is. Returns the lengths and their sum. */
function readLengths(
  bytes: PackedReader,
  count: number,
  lengthMax: number,
): { readonly lengths: Scratch; readonly total: number } {
  const range = { min: 0, max: lengthMax, expected: `a list of at most ${lengthMax} items` };
  const lengths = readIntegers(bytes, count, range);
  let total = 0;
  for (let index = 0; index < count; index++) total += lengths[index]!;
  check(total <= FRAME_ITEMS_MAX, "no more values than a frame may hold");
  return { lengths, total };
}

function readList(bytes: PackedReader, total: number, range: NumberRange): Scratch {
  return total === 0 ? room.take(0) : readIntegers(bytes, total, range);
}

/** A text for each message; "" allowed. */
function readAfters(bytes: PackedReader, count: number): string[] {
  return bytes.texts(count, room.take(count), KEY_PART);
}

export const pull: Columns<Pull> = {
  takes: () => true,
  write(run, out) {
    writeIds(run, out);
    writeRingIds(run, out);
    write(run, out, ({ isRehearsal }) => Number(isRehearsal));
    out.texts(run.map(({ after }) => after));
    write(run, out, ({ slots }) => slots.length);
    writeLists(run, out, ({ slots }) => slots, Number);
    writeLists(
      run,
      out,
      ({ digests }) => digests,
      ({ sum }) => sum,
    );
    writeLists(
      run,
      out,
      ({ digests }) => digests,
      ({ count }) => count,
    );
  },
  read(bytes, count) {
    const ids = readIntegers(bytes, count, UINT32);
    const ringIds = readRingIds(bytes, count);
    const rehearsals = readIntegers(bytes, count, BOOL);
    const afters = readAfters(bytes, count);
    const { lengths, total } = readLengths(bytes, count, SLOTS_MAX);
    const slots = readList(bytes, total, SLOT);
    const sums = readList(bytes, total, COUNT);
    const counts = readList(bytes, total, UINT32);
    const messages = new Array<Pull>(count);
    let at = 0;
    for (let index = 0; index < count; index++) {
      const end = at + lengths[index]!;
      const asked: Slot[] = [];
      const digests: SlotDigest[] = [];
      for (; at < end; at++) {
        check(asked.length === 0 || slots[at]! > asked[asked.length - 1]!, "ascending slots");
        asked.push((slots[at]! | 0) as Slot);
        digests.push({ sum: sums[at]!, count: small(counts[at]!) });
      }
      messages[index] = {
        kind: "pull",
        id: ids[index]! >>> 0,
        ringId: ringIds[index]!,
        isRehearsal: rehearsals[index] === 1,
        slots: asked,
        digests,
        after: afters[index]!,
      };
    }
    return messages;
  },
};

export const pulled: Columns<PullReply> = {
  takes: () => true,
  write(run, out) {
    writeIds(run, out);
    write(run, out, ({ status }) => STATUS.numbers[status]);
    write(run, out, ({ isBusy }) => Number(isBusy));
    out.texts(run.map(({ after }) => after));
    write(run, out, ({ slotsDone }) => slotsDone);
    writeLists(run, out, ({ floors }) => floors, Number);
    writeLists(run, out, ({ cleared }) => cleared, Number);
    writeLists(run, out, ({ entitled }) => entitled, Number);
    writeLists(run, out, ({ isSame }) => isSame, Number);
    write(run, out, ({ entries }) => entries.length);
    const entries = run.length === 1 ? run[0]!.entries : run.flatMap((message) => message.entries);
    if (entries.length > 0) writeEntries(entries, out);
  },
  read(bytes, count) {
    const ids = readIntegers(bytes, count, UINT32);
    const statuses = readIntegers(bytes, count, STATUS.range);
    const busies = readIntegers(bytes, count, BOOL);
    const afters = readAfters(bytes, count);
    const { lengths, total } = readLengths(bytes, count, SLOTS_MAX);
    const floors = readList(bytes, total, COUNT);
    const cleared = readList(bytes, total, COUNT);
    const entitled = readList(bytes, total, BOOL);
    const isSame = readList(bytes, total, BOOL);
    const entryCounts = readLengths(bytes, count, PULL_ENTRIES_MAX);
    const entries: readonly Entry[] = entryCounts.total === 0 ? [] : readEntries(bytes, entryCounts.total);
    const messages = new Array<PullReply>(count);
    let at = 0;
    let entryAt = 0;
    for (let index = 0; index < count; index++) {
      const slotsDone = lengths[index]!;
      const end = at + slotsDone;
      const entryEnd = entryAt + entryCounts.lengths[index]!;
      messages[index] = {
        kind: "pulled",
        id: ids[index]! >>> 0,
        status: STATUS.values[statuses[index]!]!,
        entries: entries.slice(entryAt, entryEnd),
        slotsDone,
        floors: numbersOf(floors, at, end),
        cleared: numbersOf(cleared, at, end),
        entitled: flagsOf(entitled, at, end),
        isSame: flagsOf(isSame, at, end),
        after: afters[index]!,
        isBusy: busies[index] === 1,
      };
      at = end;
      entryAt = entryEnd;
    }
    return messages;
  },
};

function numbersOf(column: Scratch, start: number, end: number): number[] {
  const numbers: number[] = [];
  for (let at = start; at < end; at++) numbers.push(small(column[at]!));
  return numbers;
}

function flagsOf(column: Scratch, start: number, end: number): boolean[] {
  const flags: boolean[] = [];
  for (let at = start; at < end; at++) flags.push(column[at] === 1);
  return flags;
}
