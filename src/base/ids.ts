// Branded names: a member id is not just any string and a slot is not just any number, and the compiler knows.

declare const memberIdBrand: unique symbol;
declare const slotBrand: unique symbol;
declare const ringIdBrand: unique symbol;

/** The stable name of a node: 1 to 64 characters of `[A-Za-z0-9._-]`. Survives restarts and address changes. */
export type MemberId = string & { readonly [memberIdBrand]: true };

/** One of the ring's positions, an integer from 0 to {@link SLOT_COUNT} - 1. */
export type Slot = number & { readonly [slotBrand]: true };

/** 16 lower-case hex digits that identify a ring's members and parameters. Same id, same table. */
export type RingId = string & { readonly [ringIdBrand]: true };

/** Redis Cluster's number of slots, so that cluster-aware Redis clients can route to the same place. */
export const SLOT_COUNT = 16_384;

const MEMBER_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** Whether `text` may name a member. */
export function isMemberId(text: string): text is MemberId {
  return MEMBER_ID.test(text);
}

const ZONE = /^[A-Za-z0-9._-]{0,64}$/;

/** Whether `text` may name a zone; "" is for none. */
export function isZone(text: string): boolean {
  return ZONE.test(text);
}

/** Byte-wise order of two ids (ids are ASCII, so code units are bytes): the order used wherever order must not depend on chance. */
export function compareIds(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
