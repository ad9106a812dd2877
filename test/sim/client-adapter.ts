// What the simulator asks of a client, in its own words: operations on text values in, settled results out. One class maps
// this onto the real ClientCore, so that the rest of the simulator does not depend on the core's exact shape.

import type { ErrorCode } from "../../src/base/errors.ts";
import type { Now } from "../../src/core/machine.ts";
import type { ClientReply, ClientRequest, ReadMode, WriteMode } from "../../src/core/messages.ts";

/** One call of an application. Values are texts. */
export type Operation =
  | { readonly f: "get"; readonly key: string; readonly read: ReadMode }
  | {
      readonly f: "set";
      readonly key: string;
      readonly value: string;
      readonly write: WriteMode;
      /** 0 for no expiry. */
      readonly ttlMs: number;
      readonly condition: "none" | "absent" | "present";
    }
  | { readonly f: "delete"; readonly key: string; readonly write: WriteMode }
  | { readonly f: "touch"; readonly key: string; readonly ttlMs: number; readonly write: WriteMode }
  /** All keys, and how many there are; `key` is "". Reads of no mode. */
  | { readonly f: "scan" | "count"; readonly key: string }
  /** Removes everything; `key` is "". */
  | { readonly f: "clear"; readonly key: string; readonly write: WriteMode }
  | { readonly f: "increment"; readonly key: string; readonly by: number; readonly write: WriteMode };

/** How a call ended. `value` for a get (undefined: absent), `outcome` for a write and a count, `keys` for a scan. */
export type Settled =
  | {
      readonly ok: true;
      readonly value: string | undefined;
      readonly outcome: boolean | number | undefined;
      readonly keys?: readonly string[];
    }
  | {
      readonly ok: false;
      readonly code: ErrorCode;
      readonly message: string;
      readonly applied: "no" | "maybe";
    };

export type ClientInput =
  | { readonly kind: "tick" }
  | {
      readonly kind: "call";
      readonly call: number;
      readonly operation: Operation;
      readonly timeoutMs: number;
    }
  /** Gets of one moment: as many calls, of which `call` is the first and the others follow. */
  | {
      readonly kind: "gets";
      readonly call: number;
      readonly keys: readonly string[];
      readonly read: ReadMode;
      readonly timeoutMs: number;
    }
  | { readonly kind: "link"; readonly address: string; readonly isUp: boolean }
  | { readonly kind: "message"; readonly address: string; readonly message: ClientReply };

export type ClientEffect =
  | { readonly kind: "dial"; readonly address: string }
  | { readonly kind: "drop"; readonly address: string }
  | { readonly kind: "send"; readonly address: string; readonly message: ClientRequest }
  | { readonly kind: "settle"; readonly call: number; readonly settled: Settled };

/** A client as the simulator drives it. */
export interface ClientMachine {
  step(input: ClientInput, now: Now): readonly ClientEffect[];
  /** Monotonic time of the next tick; `Infinity` for none. */
  deadline(): number;
}
