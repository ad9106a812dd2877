// What a benchmark calls: one cache, whoever made it, behind the few calls that all of them have. The text that is set is the text
// that comes back, so that every client pays for turning bytes into a value.

/** A connected client of some cache. */
export interface Target {
  get(key: string): Promise<string | null | undefined>;
  set(key: string, value: string): Promise<unknown>;
  /** In the order of the keys. */
  getMany(keys: readonly string[]): Promise<readonly (string | null | undefined)[]>;
  setMany(entries: readonly (readonly [string, string])[]): Promise<unknown>;
  /** `set`, and then the peer's way of waiting for one more copy; only where there is one. */
  setAndWait?(key: string, value: string): Promise<unknown>;
  close(): Promise<void>;
}

/** How to reach a cache: enough for another process to connect to it. */
export interface TargetSpec {
  readonly client: ClientName;
  /** `host:port` of the servers. */
  readonly addresses: readonly string[];
  /** Of the servers, for their CPU time. */
  readonly pids: readonly number[];
  /** Ringhold only: the mode of writes. */
  readonly write?: "async" | "quorum" | "all";
  /** Milliseconds a call may take, where the client has such a thing. */
  readonly timeoutMs?: number;
}

export const CLIENT_NAMES = ["null", "ringhold", "ioredis", "ioredis+auto", "node-redis", "memjs"] as const;
export type ClientName = (typeof CLIENT_NAMES)[number];
