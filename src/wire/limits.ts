// How much one connection may ask of this process. Every bound has its reason beside it, and what happens at the bound. Two
// ideas: whoever has not proved itself gets almost nothing, and a frame is only as large as the largest honest message.

import type { Path } from "../core/messages.ts";

/** Longest key in UTF-8 bytes. A longer one makes the frame invalid; clients check before they send. */
export const KEY_BYTES_MAX = 1_024;

/** Arrays within arrays in a frame. The deepest honest message has 6; the rest is room for later ones. Deeper: the frame is invalid. */
export const FRAME_DEPTH_MAX = 16;

/**
 * Values in one frame. Decoding one costs up to 100 bytes and 50 ns, so this many are 6 MB and a few milliseconds. A sender
 * splits its batch before it gets here; a frame with more is invalid.
 */
export const FRAME_ITEMS_MAX = 65_536;

/** Frame size until the other side has proved itself. The longest handshake message has about 1 KiB; more closes the connection. */
export const HANDSHAKE_BYTES_MAX = 4 * 1024;

/** Members in one message, be it a topology or a full sync. A message with more is invalid. */
export const MEMBERS_MAX = 4_096;

/** Names of secrets in one message: as many as a node may accept. A message with more is invalid. */
export const FINGERPRINTS_MAX = 4;

/** Slots that one request may name (`catchUpReply` names up to all of them). A message with more is invalid. */
export const SLOTS_MAX = 1_024;

/** Keys in one scan reply, and the largest limit a scan may ask for. */
export const SCAN_KEYS_MAX = 1_000;

/** Keys in one message about changes; the sender begins another one. */
export const CHANGED_KEYS_MAX = 1_000;

/** Entries in one pull reply. The sender stops at 128; four times that is invalid. */
export const PULL_ENTRIES_MAX = 512;

/** Requests that one refusal may name; the sender splits a longer list. */
export const REFUSED_IDS_MAX = 4_096;

/** Characters of a failure's message; a longer one is cut by the sender. */
export const FAILURE_TEXT_MAX = 1_024;

/** Largest value unless a node says otherwise. */
export const VALUE_BYTES_MAX_DEFAULT = 8 * 1024 * 1024;

/** Bounds of one WebSocket link, see {@link resolveLinkLimits}. */
export interface LinkLimits {
  /** Largest frame in bytes by path, both ways. Receiving more closes the link (1009); a message that alone needs more is dropped by the sender. */
  readonly frameBytesMax: Readonly<Record<Path, number>>;
  /** Bytes waiting to be sent on one link, by path. Past it the other side reads too slowly and the link is cut. */
  readonly outputBytesMax: Readonly<Record<Path, number>>;
  /**
   * Bytes of answers waiting for all clients of a node together. Past it no more large answers are made, nor any for those who have some waiting,
   * and who has taken no whole answer for two seconds is cut, until there is room.
   */
  readonly unreadBytesMax: number;
  /** Milliseconds for which a reader may take nothing while requests of its own wait for it. Past it the link is cut. */
  readonly readerStallMs: number;
  /**
   * Bytes of frames that all clients of a node together have begun and not finished. Past it whoever has been at a frame for longest is cut, once
   * it has taken a second, until there is room.
   */
  readonly unfinishedBytesMax: number;
  /** Milliseconds from the connection to the end of the handshake. Past it the connection is cut. */
  readonly handshakeMs: number;
  /** Connections in the handshake at once on one node. Further ones are refused with HTTP 503. */
  readonly handshakesMax: number;
  /** Connections of one node, all paths together. Further ones are refused with HTTP 503. */
  readonly connectionsMax: number;
}

/** The limits that go with a largest value of `valueBytesMax` bytes. */
export function resolveLinkLimits(valueBytesMax: number = VALUE_BYTES_MAX_DEFAULT): LinkLimits {
  // Twice the largest value: a message that carries it fits with its key and overhead, and so does a batch beside it.
  const data = Math.max(16 * 1024 * 1024, 2 * valueBytesMax);
  return Object.freeze({
    frameBytesMax: Object.freeze({ client: data, peer: data, gossip: 1024 * 1024 }),
    outputBytesMax: Object.freeze({
      client: 8 * 1024 * 1024 + valueBytesMax,
      peer: Math.max(64 * 1024 * 1024, 4 * valueBytesMax),
      gossip: 4 * 1024 * 1024,
    }),
    unreadBytesMax: Math.max(32 * 1024 * 1024, 4 * valueBytesMax),
    readerStallMs: 10_000,
    unfinishedBytesMax: Math.max(48 * 1024 * 1024, 6 * valueBytesMax),
    handshakeMs: 2_000,
    handshakesMax: 1_024,
    connectionsMax: 16_384,
  });
}
