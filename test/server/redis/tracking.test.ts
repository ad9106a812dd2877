// The parts of client-side caching, and what they promise together: nobody keeps a stale value for good, whatever is lost.

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { slotOfKey } from "../../../src/base/hash.ts";
import type { MemberId, RingId, Slot } from "../../../src/base/ids.ts";
import type { Changed, DoorMessage, Entry, Watch, Watching } from "../../../src/core/messages.ts";
import type { ClusterView } from "../../../src/core/replication/cluster-view.ts";
import type { Ring } from "../../../src/core/ring/ring.ts";
import { ReadTable } from "../../../src/server/redis/read-table.ts";
import { SlotWatch } from "../../../src/server/redis/slot-watch.ts";
import { SlotWatchers } from "../../../src/server/slot-watchers.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const MEMBERS = ["n1", "n2", "n3"] as MemberId[];
const SLOT = slotOfKey("k");

function entry(key: string, version: number): Entry {
  const rest = { origin: 1, expiresAt: 0, format: 1, opClient: 7, opSeq: version, opAttempt: 1 } as const;
  return { key, version, value: new Uint8Array(0), ...rest };
}

describe("ReadTable", () => {
  function setUp(readsMax?: number) {
    const stale: string[] = [];
    return { stale, table: new ReadTable((reader, key) => stale.push(`${reader} ${key}`), readsMax) };
  }

  function read(table: ReadTable, reader: number, key: string, version: number, isVouchedFor = true): void {
    table.end(reader, key, { read: table.begin(reader, key), version, isVouchedFor });
  }

  test("tells each reader once of a newer version, and of none that it has read", () => {
    const { table, stale } = setUp();
    read(table, 1, "k", 5);
    read(table, 2, "k", 7);

    table.changed("k", 5, undefined);
    table.changed("k", 7, undefined);
    table.changed("k", 8, undefined);
    table.changed("k", 9, undefined);

    expect(stale).toEqual(["1 k", "2 k"]);
    expect([table.keys, table.reads]).toEqual([0, 0]);
  });

  test("tells of a value that went, whatever its version", () => {
    const { table, stale } = setUp();
    read(table, 1, "k", 5);

    table.changed("k", 0, undefined);

    expect(stale).toEqual(["1 k"]);
  });

  test("compares what changed during a read when the read ends", () => {
    const { table, stale } = setUp();
    const [first, second] = [table.begin(1, "k"), table.begin(2, "k")];

    table.changed("k", 6, undefined);
    table.end(1, "k", { read: first, version: 6, isVouchedFor: true });
    table.end(2, "k", { read: second, version: 5, isVouchedFor: true });

    expect(stale).toEqual(["2 k"]);
    expect(table.reads).toBe(1);
  });

  test("does not take the end of a read that was forgotten for that of the next one", () => {
    const { table, stale } = setUp();
    const before = table.begin(1, "k");
    table.clear();
    const after = table.begin(1, "k");

    table.end(1, "k", { read: before, version: 5, isVouchedFor: true });
    table.end(1, "k", { read: after, version: 5, isVouchedFor: false });

    expect(stale).toEqual(["1 k"]);
  });

  test("takes a read at once back that nobody vouches for", () => {
    const { table, stale } = setUp();

    read(table, 1, "k", 5, false);

    expect(stale).toEqual(["1 k"]);
  });

  test("forgets who wrote it itself without telling", () => {
    const { table, stale } = setUp();
    for (const reader of [1, 2]) read(table, reader, "k", 5);

    table.changed("k", 6, 1);

    expect(stale).toEqual(["2 k"]);
    expect(table.reads).toBe(0);
  });

  test("takes the oldest key back at its bound", () => {
    const { table, stale } = setUp(3);
    for (const key of ["a", "b", "c", "d"]) read(table, 1, key, 1);

    expect(stale).toEqual(["1 a"]);
    expect(table.reads).toBe(3);
  });
});

describe("SlotWatchers", () => {
  function setUp() {
    const sent: { to: MemberId; message: Changed }[] = [];
    const watchers = new SlotWatchers({
      send: (to, message) => sent.push({ to, message: message as Changed }),
      random: () => 100,
    });
    const ask = (member: MemberId, part: Partial<Watch>): Watching =>
      watchers.take(member, { kind: "watch", id: 1, round: 1, isAll: false, slots: [], ...part });
    return { sent, watchers, ask };
  }
  const [N1, N2] = MEMBERS as [MemberId, MemberId];
  const settle = () => vi.advanceTimersByTimeAsync(0);

  test("tells watchers of a slot, in one message a turn, numbered", async () => {
    const { sent, watchers, ask } = setUp();
    expect(ask(N1, { slots: [SLOT] })).toEqual({ kind: "watching", id: 1, round: 1, seq: 100 });
    ask(N2, { slots: [(SLOT + 1) as Slot] });
    expect(watchers.watches(SLOT)).toBe(true);
    expect(watchers.watches((SLOT + 2) as Slot)).toBe(false);

    watchers.changed(SLOT, entry("k", 3));
    watchers.gone(SLOT, "k");
    await settle();
    watchers.changed(SLOT, entry("k", 4));
    await settle();

    expect(sent.map(({ to }) => to)).toEqual([N1, N1]);
    expect(sent[0]!.message).toEqual({
      ...{ kind: "changed", round: 1, seq: 101, isCleared: false },
      items: [
        { key: "k", version: 3, opClient: 7, opSeq: 3 },
        { key: "k", version: 0, opClient: 0, opSeq: 0 },
      ],
    });
    expect(sent[1]!.message.seq).toBe(102);
  });

  test("says that all is void when slots are cleared, and when more changed than it tells", async () => {
    const { sent, watchers, ask } = setUp();
    ask(N1, { isAll: true });

    watchers.cleared(SLOT);
    await settle();
    for (let index = 0; index <= 10_000; index++) watchers.changed(SLOT, entry(`k${index}`, 1));
    await settle();

    expect(sent.map(({ message: { isCleared, items } }) => [isCleared, items.length])).toEqual([
      [true, 0],
      [true, 0],
    ]);
  });

  test("begins anew with a later round, keeps to it, and forgets at round 0 or when the member goes", () => {
    const { watchers, ask } = setUp();
    ask(N1, { slots: [SLOT] });

    ask(N1, { round: 2 });
    expect(watchers.watches(SLOT)).toBe(false);
    expect(ask(N1, { round: 1, slots: [SLOT] }).round).toBe(0);
    expect(watchers.watches(SLOT)).toBe(false);
    ask(N1, { round: 2, slots: [SLOT] });
    ask(N2, { slots: [SLOT] });
    watchers.forget(N1);
    expect(watchers.watches(SLOT)).toBe(true);
    ask(N2, { round: 0 });
    expect(watchers.watches(SLOT)).toBe(false);
    expect(watchers.count).toBe(0);
  });
});

/** A door that watches three members' stores over a network that a test can break. */
class World {
  readonly usable = new Set<MemberId>(MEMBERS);
  /** What is said to or by these is lost without notice. */
  readonly cut = new Set<MemberId>();
  readonly old = new Set<MemberId>();
  readonly changed: string[] = [];
  lost = 0;
  onChanged: (key: string, version: number) => void = (key) => this.changed.push(key);
  onLost: () => void = () => {};
  ring = this.#ring("00000000000000aa");
  readonly watchers: ReadonlyMap<MemberId, SlotWatchers>;
  readonly watch: SlotWatch;

  constructor() {
    let seed = 1;
    this.watchers = new Map(
      MEMBERS.map((member) => [
        member,
        new SlotWatchers({
          send: (_to, message) => this.#deliver(member, message),
          random: () => (seed += 1_000),
        }),
      ]),
    );
    const world = this;
    const view: Partial<ClusterView> = {
      self: MEMBERS[0]!,
      get ring() {
        return world.ring;
      },
      isUsable: (member) => this.usable.has(member),
    };
    this.watch = new SlotWatch({
      view: view as ClusterView,
      send: (member, message) => this.#send(member, message),
      nowMs: () => performance.now(),
      firstRound: 1,
      onChanged: (items) => {
        for (const { key, version } of items) this.onChanged(key, version);
      },
      onLost: () => {
        this.lost++;
        this.onLost();
      },
    });
    this.watch.start();
  }

  #ring(id: string): Ring {
    const members = MEMBERS.map((member) => ({ id: member, weight: 1, zone: "" }));
    return { id: id as RingId, members, preferenceList: () => MEMBERS } as unknown as Ring;
  }

  changeRing(): void {
    this.ring = this.#ring("00000000000000bb");
  }

  #send(member: MemberId, message: Watch): boolean {
    if (this.old.has(member)) return false;
    if (!this.cut.has(member)) this.#deliver(member, this.watchers.get(member)!.take(MEMBERS[0]!, message));
    return true;
  }

  #deliver(from: MemberId, message: DoorMessage): void {
    if (!this.cut.has(from)) this.watch.heard(from, message as Changed | Watching);
  }
}

describe("SlotWatch", () => {
  const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);

  test("watches a slot once all its replicas that can be reached tell of it", async () => {
    const world = new World();
    world.usable.delete(MEMBERS[2]!);
    expect(world.watch.isWatched(SLOT)).toBe(false);

    expect(await world.watch.watch(SLOT)).toBe(true);

    for (const [index, member] of MEMBERS.entries())
      expect(world.watchers.get(member)!.watches(SLOT)).toBe(index < 2);
    world.watchers.get(MEMBERS[1]!)!.changed(SLOT, entry("k", 1));
    await later(0);
    expect(world.changed).toEqual(["k"]);
  });

  test("vouches for nothing where a replica cannot be asked, or does not answer", async () => {
    const world = new World();
    world.old.add(MEMBERS[1]!);
    expect(await world.watch.watch(SLOT)).toBe(false);
    world.old.clear();
    world.cut.add(MEMBERS[1]!);

    const watching = world.watch.watch(SLOT);
    await later(600);

    expect(await watching).toBe(false);
  });

  test.each<[string, (world: World) => void]>([
    ["the ring changes", (world) => world.changeRing()],
    ["a member cannot be reached any more", (world) => world.usable.delete(MEMBERS[1]!)],
    ["the link to a member came or went", (world) => world.watch.linkChanged(MEMBERS[1]!)],
    ["a member has forgotten it", (world) => world.watchers.get(MEMBERS[1]!)!.forget(MEMBERS[0]!)],
    ["a member is silent", (world) => world.cut.add(MEMBERS[1]!)],
  ])("takes everything back when %s", async (_name, happen) => {
    const world = new World();
    await world.watch.watch(SLOT);
    await later(1_000);
    expect(world.lost).toBe(0);

    happen(world);
    await later(1_500);

    expect(world.lost).toBe(1);
    expect(world.watch.isWatched(SLOT)).toBe(false);
  });

  test("takes everything back when a message was lost", async () => {
    const world = new World();
    await world.watch.watch(SLOT);
    world.cut.add(MEMBERS[2]!);
    world.watchers.get(MEMBERS[2]!)!.changed(SLOT, entry("k", 1));
    await later(0);
    world.cut.clear();

    await later(300);

    expect(world.changed).toEqual([]);
    expect(world.lost).toBe(1);
  });

  test("tells everybody to stop when nobody caches any more", async () => {
    const world = new World();
    await world.watch.watchAll();
    expect(world.watch.isWatchingAll).toBe(true);

    world.watch.stop();

    for (const watchers of world.watchers.values()) expect(watchers.count).toBe(0);
    expect(await world.watch.watch(SLOT)).toBe(false);
  });

  test("with ReadTable leaves nobody with a stale value for good, whatever is lost", async () => {
    const KEYS = ["k", "l", "m"];
    const step = fc.oneof(
      fc.record({ do: fc.constant("write" as const), key: fc.nat(2), missing: fc.nat(2) }),
      fc.record({
        do: fc.constant("read" as const),
        key: fc.nat(2),
        from: fc.nat(2),
        ms: fc.constantFrom(0, 5),
      }),
      fc.record({
        do: fc.constantFrom("cut" as const, "forget" as const, "heal" as const),
        member: fc.nat(2),
      }),
      fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(1, 100, 600) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const world = new World();
        const copies = MEMBERS.map(() => new Map<string, number>());
        const cache = new Map<string, number>();
        const table = new ReadTable((_reader, key) => cache.delete(key));
        world.onChanged = (key, version) => table.changed(key, version, undefined);
        world.onLost = () => {
          table.clear();
          cache.clear();
        };
        let version = 0;
        const store = (index: number, key: string, stored: number): void => {
          if ((copies[index]!.get(key) ?? 0) >= stored) return;
          copies[index]!.set(key, stored);
          const watchers = world.watchers.get(MEMBERS[index]!)!;
          if (watchers.watches(slotOfKey(key))) watchers.changed(slotOfKey(key), entry(key, stored));
        };
        const read = async (key: string, from: number, ms: number): Promise<void> => {
          const slot = slotOfKey(key);
          const isVouchedFor = world.watch.isWatched(slot) || (await world.watch.watch(slot));
          const lostBefore = world.lost;
          const begun = table.begin(1, key);
          const value = copies[from]!.get(key) ?? 0;
          if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
          // As a client does: the reply first, then what it is told.
          cache.set(key, value);
          table.end(1, key, { read: begun, version: value, isVouchedFor });
          if (world.lost > lostBefore) cache.delete(key);
        };
        const reads: Promise<void>[] = [];
        for (const one of steps) {
          if (one.do === "write") {
            version++;
            for (let index = 0; index < 3; index++)
              if (index !== one.missing) store(index, KEYS[one.key]!, version);
          } else if (one.do === "read") reads.push(read(KEYS[one.key]!, one.from, one.ms));
          else if (one.do === "wait") await later(one.ms);
          else if (one.do === "cut") world.cut.add(MEMBERS[one.member]!);
          else if (one.do === "heal") world.cut.delete(MEMBERS[one.member]!);
          else world.watchers.get(MEMBERS[one.member]!)!.forget(MEMBERS[0]!);
        }

        await later(2_000);
        world.cut.clear();
        const newest = (key: string): number => Math.max(...copies.map((copy) => copy.get(key) ?? 0));
        for (const key of KEYS) for (let index = 0; index < 3; index++) store(index, key, newest(key));
        await later(2_000);
        await Promise.all(reads);

        for (const [key, value] of cache) expect(value).toBe(newest(key));
        world.watch.stop();
      }),
      { numRuns: 300 },
    );
  });
});
