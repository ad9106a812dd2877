// What goes into a client's core and what comes out: the contract between it and its drivers (the shell in `driver.ts`, and the
// simulator). The rules of `core/machine.ts` hold here too.

import type { CacheError, ErrorCode } from "../base/errors.ts";
import type { Slot } from "../base/ids.ts";
import type {
  Change,
  ClearReply,
  ClientReply,
  ClientRequest,
  CommandReply,
  CountReply,
  GetReply,
  ReadMode,
  ScanReply,
  Want,
  WriteMode,
  WriteReply,
} from "../core/messages.ts";

/** Which replica is asked first: the first of the list, or one that is quick and has little to do. */
export const READ_FROM = ["first", "any"] as const;
export type ReadFrom = (typeof READ_FROM)[number];

/** How something is to be read. A mode left out is the cluster's default. */
export interface GetOptions {
  readonly want: Want;
  readonly read?: ReadMode | undefined;
  /** @default "first" */
  readonly readFrom?: ReadFrom | undefined;
}

/** What a caller wants. A mode left out is the cluster's default. `target` is the address of the node to ask: no other is tried. */
export type CallRequest =
  | ({ readonly kind: "get"; readonly key: string } & GetOptions)
  | {
      readonly kind: "write";
      readonly key: string;
      readonly change: Change;
      readonly write?: WriteMode | undefined;
    }
  | {
      readonly kind: "scan";
      readonly target: string;
      readonly slots: readonly Slot[];
      readonly after: string;
      readonly prefix: string;
      readonly limit: number;
      /** Whether nobody else is asked about these slots. */
      readonly isAlone: boolean;
    }
  | { readonly kind: "clear"; readonly slots: readonly Slot[] }
  | { readonly kind: "count"; readonly target: string; readonly slots: readonly Slot[] }
  | {
      readonly kind: "command";
      readonly target: string;
      readonly command: "leave" | "evict";
      readonly member: string;
    };

/** How a call ends well. */
export type CallReply = GetReply | WriteReply | ScanReply | ClearReply | CountReply | CommandReply;

export type ClientInput =
  /** `callId` is the caller's, above 0, unique among those under way. It is settled at `deadlineMs` (monotonic) at the latest. */
  | {
      readonly kind: "call";
      readonly callId: number;
      readonly request: CallRequest;
      readonly deadlineMs: number;
      /** Not to be refused because others wait: its caller has a window of its own. @default false */
      readonly isPatient?: boolean;
    }
  /** Reads of one moment: as many calls, of which `callId` is the first and the others follow. */
  | {
      readonly kind: "gets";
      readonly callId: number;
      readonly keys: readonly string[];
      readonly get: GetOptions;
      readonly deadlineMs: number;
      /** As for `call`. @default false */
      readonly isPatient?: boolean;
    }
  /** Whoever made the calls lost interest: no `settle` follows for them. */
  | { readonly kind: "cancel"; readonly callIds: readonly number[] }
  /** `ownMs`: how much of a round trip that ends now this process may have taken itself. @default 0 */
  | {
      readonly kind: "message";
      readonly address: string;
      readonly message: ClientReply;
      readonly ownMs?: number;
    }
  /** What one frame held, in order. */
  | {
      readonly kind: "messages";
      readonly address: string;
      readonly messages: readonly ClientReply[];
      readonly ownMs?: number;
    }
  /** A dial came up, failed, or a connection ended. */
  | {
      readonly kind: "link";
      readonly address: string;
      readonly isUp: boolean;
      readonly reason?: string;
      readonly code?: ErrorCode;
    }
  | { readonly kind: "tick" }
  /** For good: links are dropped, calls under way end with ERR_CLOSED. */
  | { readonly kind: "close" };

export type ClientEffect =
  | { readonly kind: "send"; readonly address: string; readonly message: ClientRequest }
  /** To be answered with one `link` input, up or not. */
  | { readonly kind: "dial"; readonly address: string }
  /** Close the connection, or stop dialling, at once; nothing more may be reported of it, because it may be dialled again. */
  | { readonly kind: "drop"; readonly address: string }
  | { readonly kind: "settle"; readonly callId: number; readonly result: CallReply | CacheError }
  /** Another view was taken. */
  | { readonly kind: "topology" };
