// The public API, and the only barrel: everything an application may import.

export { type Applied, CacheError, type ErrorCode, type ErrorDetails } from "./base/errors.ts";
export type {
  CallOptions,
  IncrementOptions,
  KeysOptions,
  ManyEntry,
  ReadOptions,
  SetManyOptions,
  SetOptions,
  Ttl,
  WriteOptions,
} from "./client/arguments.ts";
export {
  type Cache,
  type CacheEntry,
  type ClusterMember,
  type ClusterTopology,
  connect,
  type KeyLocation,
  type ManyEntries,
} from "./client/cache.ts";
export type { ReadFrom } from "./client/client-machine.ts";
export type { CacheOptions, ClientSecret, ConnectTarget } from "./client/options.ts";
export type { NodeEvent } from "./core/events.ts";
export type { Liveness, ReadMode, RingState, WriteMode } from "./core/messages.ts";
export type { MemberStatus, NodeStatus } from "./core/status.ts";
export { type EmbeddedNode, startNode } from "./embedded.ts";
export type { TlsOptions } from "./io/link.ts";
export type { NodeOptions } from "./server/options.ts";
export type { NodeTls, NodeTlsFiles } from "./server/tls.ts";
