// How large a message becomes in a frame, from above, without encoding it: what a sender splits its batches by. The bounds are
// those of the single form; columns are never larger.

import type { Entry, MemberRecord, Message, Update } from "../core/messages.ts";

/** Upper bounds of what one message adds to a frame. */
export interface FrameCost {
  readonly bytes: number;
  readonly items: number;
}

/** For the group, and for all fields of fixed size of the largest kind: at most 17 doubles. */
const MESSAGE: FrameCost = { bytes: 192, items: 20 };
const ENTRY: FrameCost = { bytes: 80, items: 10 };
/** With a change of place: two structures more. */
const RECORD: FrameCost = { bytes: 120, items: 18 };
/** A double, or any smaller scalar. */
const SCALAR_BYTES = 9;
const SLOT_BYTES = 3;
/** The length before a text or bytes. */
const HEADER_BYTES = 5;

/** At most what the message adds to a frame. Cost: constant for the frequent kinds, else linear in the message's lists. */
export function costOf(message: Message): FrameCost {
  switch (message.kind) {
    case "get":
    case "read":
      return cost(textBytes(message.key), 0);
    case "got":
      return cost(bytesBytes(message.value), 0);
    case "write": {
      const { change } = message;
      const value = change.type === "set" || change.type === "put" ? change.value : undefined;
      return cost(textBytes(message.key) + (value === undefined ? 0 : bytesBytes(value)), 0);
    }
    case "readReply":
      return message.entry === undefined ? cost(0, 0) : costOfEntries([message.entry]);
    case "replicate":
      return costOfEntries([message.entry]);
    case "forward":
      return add(MESSAGE, costOf(message.request));
    case "forwarded":
      return add(MESSAGE, costOf(message.reply));
    case "scan":
      return cost(
        textBytes(message.after) + textBytes(message.prefix) + SLOT_BYTES * message.slots.length,
        message.slots.length,
      );
    case "clear":
    case "count":
    case "clearReplica":
    case "catchUpReply":
      return cost(SLOT_BYTES * message.slots.length, message.slots.length);
    case "scanned":
      return cost(textBytes(message.after) + sum(message.keys, textBytes), message.keys.length);
    case "overloaded":
      return cost(5 * message.ids.length, message.ids.length);
    case "failed":
      return cost(textBytes(message.message), 0);
    case "topology":
      return cost(
        sum(message.members, ({ id, address, zone }) => 64 + id.length + address.length + zone.length),
        8 * message.members.length,
      );
    case "clearReplicaReply":
      return cost(message.counts.length, message.counts.length);
    case "pull":
      return cost(
        textBytes(message.after) + (SLOT_BYTES + 1 + 2 * SCALAR_BYTES) * message.slots.length,
        4 * message.slots.length,
      );
    case "pulled": {
      const slots = message.floors.length;
      const rest = cost(textBytes(message.after) + (2 * SCALAR_BYTES + 2) * slots, 4 * slots);
      return add(rest, costOfEntries(message.entries));
    }
    case "probe":
    case "ack":
    case "probeRequest":
    case "gossip":
      return cost(
        sum(message.updates, ({ record, accuser }: Update) => 8 + recordBytes(record) + accuser.length),
        (RECORD.items + 2) * message.updates.length,
      );
    case "doorAddress":
      return cost(textBytes(message.address), 0);
    case "secrets":
      return cost(sum(message.fingerprints, textBytes), message.fingerprints.length);
    case "publish":
      return cost(bytesBytes(message.channel) + bytesBytes(message.payload), 0);
    case "watch":
      return cost(SLOT_BYTES * message.slots.length, message.slots.length);
    case "changed":
      return cost(
        sum(message.items, ({ key }) => 2 + textBytes(key) + 3 * SCALAR_BYTES),
        5 * message.items.length,
      );
    case "sync":
      return cost(sum(message.records, recordBytes), RECORD.items * message.records.length);
    default:
      return MESSAGE;
  }
}

/** Fixed fields and what varies. */
function cost(bytes: number, items: number): FrameCost {
  return { bytes: MESSAGE.bytes + bytes, items: MESSAGE.items + items };
}

function add(a: FrameCost, b: FrameCost): FrameCost {
  return { bytes: a.bytes + b.bytes, items: a.items + b.items };
}

function costOfEntries(entries: readonly Entry[]): FrameCost {
  const bytes = sum(
    entries,
    ({ key, value }) => ENTRY.bytes + textBytes(key) + (value === undefined ? 1 : bytesBytes(value)),
  );
  return cost(bytes, ENTRY.items * entries.length);
}

function recordBytes(record: MemberRecord): number {
  const { id, address, zone, wanted, settledRingId, preparedRingId } = record;
  const texts = [id, address, zone, wanted?.zone ?? "", settledRingId, preparedRingId];
  return RECORD.bytes + sum(texts, ({ length }) => length);
}

/** A UTF-16 unit takes at most 3 bytes. */
function textBytes(text: string): number {
  return HEADER_BYTES + 3 * text.length;
}

function bytesBytes(bytes: Uint8Array): number {
  return HEADER_BYTES + bytes.length;
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += of(item);
  return total;
}
