// Folds each event of the core into three uses: a log line (a fixed text at a fixed level, with the event's fields as facts), a counter, and
// the listener of an embedding program. `describe` is the one list; the compiler refuses an event that it does not name.
//
// Levels: `error` a human must act, `warn` something went wrong and healed or will, `info` membership and lifecycle, `debug`
// the rest, everything that can happen once per request included.

import { assertNever } from "../base/assert.ts";
import type { NodeEvent } from "../core/events.ts";
import type { NodeLogger } from "./logger.ts";
import type { MetricWriter } from "./prometheus.ts";

/** How an event is logged and counted. */
export interface EventDescription {
  readonly level: "error" | "warn" | "info" | "debug";
  /** The log line's text; the event's fields come with it. */
  readonly text: string;
  /** The counter, without prefix: name, unit, kind. */
  readonly counter: string;
  /** What the counter counts. */
  readonly help: string;
  /** What is added to it. @default 1 */
  readonly by?: number;
  /** A label of the counter, and its value: one of a closed set. */
  readonly label?: readonly [name: string, value: string];
}

/** The log line and the counter of an event. Pure. */
export function describe(event: NodeEvent): EventDescription {
  switch (event.type) {
    case "memberLiveness":
      return {
        level: "info",
        text: "member liveness changed",
        counter: "member_liveness_changes_total",
        help: "Changes of a member's liveness in this node's view",
        label: ["liveness", event.liveness],
      };
    case "memberRingState":
      return {
        level: "info",
        text: "member ring state changed",
        counter: "member_ring_state_changes_total",
        help: "Changes of a member's ring state in this node's view",
        label: ["state", event.ringState],
      };
    case "memberAddress":
      return {
        level: "info",
        text: "member address changed",
        counter: "member_address_changes_total",
        help: "Changes of a member's address",
      };
    case "memberPlace":
      return {
        level: "info",
        text: "member place changed",
        counter: "member_place_changes_total",
        help: "Changes of a member's weight or zone",
      };
    case "refuted":
      return {
        level: "warn",
        text: "refuted a suspicion of this node",
        counter: "refutations_total",
        help: "Suspicions of this node that it answered",
      };
    case "duplicateId":
      return {
        level: "error",
        text: "another process uses this name: stop one of them or give it another name",
        counter: "duplicate_ids_total",
        help: "Times two live processes were seen to use one name",
      };
    case "forged":
      return {
        level: "warn",
        text: "refused what no member in order can say: is this member ours?",
        counter: "forgeries_refused_total",
        help: "Seconds in which a member said what it cannot know, by kind",
        label: ["what", event.what],
      };
    case "quarantined":
      return {
        level: "error",
        text: "a member is not heard for a while, because of what it said: find out who it is",
        counter: "quarantines_total",
        help: "Times a member was not heard for a while because of forged messages",
      };
    case "overload":
      return {
        level: "warn",
        text: event.isOverloaded ? "overloaded: requests of clients are refused" : "no longer overloaded",
        counter: "overload_changes_total",
        help: "Times this node began or ceased to refuse requests because it had too many",
        label: ["overloaded", String(event.isOverloaded)],
      };
    case "stalled":
      return {
        level: "warn",
        text: "event loop stalled",
        counter: "stalled_milliseconds_total",
        help: "Milliseconds for which the event loop stood still",
        by: event.ms,
      };
    case "genesis":
      return {
        level: "info",
        text: event.isFounder ? "founded a cluster" : "found the cluster",
        counter: "genesis_total",
        help: "Clusters founded or found",
      };
    case "waitingForSeeds":
      return {
        level: "warn",
        text: "waiting for a seed to answer",
        counter: "seed_waits_total",
        help: "Times no seed answered",
      };
    case "ringChanged":
      return {
        level: "info",
        text: "ring changed",
        counter: "ring_changes_total",
        help: "Rings this node has used",
      };
    case "peerReachable":
      return {
        level: "info",
        text: event.isReachable ? "peer reachable" : "peer unreachable",
        counter: "peer_reachability_changes_total",
        help: "Changes of whether a peer's data link works",
        label: ["reachable", String(event.isReachable)],
      };
    case "fillStarted":
      return {
        level: "info",
        text: "filling slots",
        counter: "fills_started_total",
        help: "Times this node began to fill slots",
      };
    case "fillFinished":
      return {
        level: "info",
        text: "filled slots",
        counter: "filled_entries_total",
        help: "Entries copied to fill slots",
        by: event.entries,
      };
    case "settled":
      return {
        level: "info",
        text: "settled",
        counter: "settled_total",
        help: "Rings for which all slots of this node were filled",
      };
    case "filledFromFew":
      return {
        level: "warn",
        text: "slots count again although fewer sources than promised could be copied",
        counter: "slots_filled_from_few_total",
        help: "Slots that count although fewer sources than promised were copied",
        by: event.slots,
      };
    case "hintStored":
      return {
        level: "debug",
        text: "hint stored",
        counter: "hints_stored_total",
        help: "Hints stored for unreachable replicas",
      };
    case "hintsReplayed":
      return {
        level: "info",
        text: "hints replayed",
        counter: "hints_replayed_total",
        help: "Hints that reached their target",
        by: event.count,
      };
    case "hintsDropped":
      return {
        level: "warn",
        text: "hints dropped, their slots will be synced instead",
        counter: "hints_dropped_total",
        help: "Hints given up, by reason",
        by: event.count,
        label: ["reason", event.reason],
      };
    case "caughtUp":
      return {
        level: "info",
        text: "caught up",
        counter: "catch_ups_total",
        help: "Times this node fetched what it had missed",
      };
    case "readRepaired":
      return {
        level: "debug",
        text: "read repaired",
        counter: "read_repairs_total",
        help: "Replicas brought up to date by a read",
        by: event.replicas,
      };
    case "writeReissued":
      return {
        level: "debug",
        text: "write re-issued with a newer version",
        counter: "writes_reissued_total",
        help: "Writes that a replica refused as not newer and that got a newer version",
      };
    case "writeDeduplicated":
      return {
        level: "debug",
        text: "repeated write recognised",
        counter: "writes_deduplicated_total",
        help: "Repeated writes answered without writing again",
      };
    case "noQuorum":
      return {
        level: "debug",
        text: "no quorum",
        counter: "no_quorum_total",
        help: "Requests that failed for want of a quorum",
        label: ["operation", event.write ? "write" : "read"],
      };
    case "clockOff":
      return event.isOff
        ? {
            level: "error",
            text: "this node's clock is off: it coordinates no writes until the clock is set right",
            counter: "clock_off_total",
            help: "Times this node's clock was found to be off",
          }
        : {
            level: "info",
            text: "this node's clock is right again",
            counter: "clock_right_total",
            help: "Times this node's clock was found to be right again",
          };
    case "versionRefused":
      return {
        level: "warn",
        text: "refused a version from the future: the member's clock is ahead",
        counter: "versions_refused_total",
        help: "Versions refused because they were too far ahead",
      };
    case "evicting":
      return {
        level: "warn",
        text: "evicting a member that is gone",
        counter: "members_evicted_total",
        help: "Members this node took out of the ring",
      };
    case "leaving":
      return {
        level: "info",
        text: "leaving",
        counter: "leaves_total",
        help: "Times this node began to leave",
      };
    case "released":
      return {
        level: "info",
        text: "left the ring",
        counter: "releases_total",
        help: "Times this node had handed everything over",
      };
    default:
      return assertNever(event);
  }
}

/** Counters of events: one per counter name and label value, so bounded by {@link describe}. */
export class EventFold {
  readonly #logger: NodeLogger;
  readonly #listener: ((event: NodeEvent) => void) | undefined;
  readonly #counters = new Map<
    string,
    { readonly help: string; readonly samples: Map<string, CounterSample> }
  >();

  constructor(logger: NodeLogger, listener?: (event: NodeEvent) => void) {
    this.#logger = logger;
    this.#listener = listener;
  }

  /**
   * Logs, counts and passes on one event. A listener that throws is logged and does no harm.
   *
   * @param more facts for the log line that the core does not know
   */
  fold(event: NodeEvent, more?: object): void {
    const description = describe(event);
    this.#count(description);
    const { type: _, ...facts } = event;
    this.#logger[description.level](more === undefined ? facts : { ...facts, ...more }, description.text);
    try {
      this.#listener?.(event);
    } catch (error) {
      this.#logger.error({ err: error, event: event.type }, "the listener of events threw");
    }
  }

  /** Writes a counter for each kind of event that has happened. */
  write(writer: MetricWriter): void {
    for (const [counter, { help, samples }] of this.#counters) {
      const name = `ringhold_${counter}`;
      writer.metric(name, "counter", help);
      for (const { labels, value } of samples.values()) writer.sample(name, labels, value);
    }
  }

  #count({ counter, help, by = 1, label }: EventDescription): void {
    let entry = this.#counters.get(counter);
    if (entry === undefined) {
      entry = { help, samples: new Map() };
      this.#counters.set(counter, entry);
    }
    const key = label?.[1] ?? "";
    const sample = entry.samples.get(key);
    if (sample !== undefined) sample.value += by;
    else entry.samples.set(key, { labels: label === undefined ? {} : { [label[0]]: label[1] }, value: by });
  }
}

interface CounterSample {
  readonly labels: Readonly<Record<string, string>>;
  value: number;
}
