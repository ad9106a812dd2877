import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Replicate } from "../../src/core/messages.ts";
import { CHANNEL_LIMITS, Channel, type NodeMessage, roughBytes } from "../../src/server/channel.ts";
import { FakeLink } from "./fakes.ts";

/** A channel whose dials settle when the test says; randomness is at its upper end, so pauses are as long as they get. */
function setUp(limits = CHANNEL_LIMITS) {
  const dials: { address: string; succeed(): void; fail(error: Error): void }[] = [];
  let dropped = 0;
  const channel = new Channel(
    {
      dial: (address) =>
        new Promise<void>((succeed, fail) => {
          dials.push({ address, succeed, fail });
        }),
      nowMs: () => performance.now(),
      random: () => 1,
      onUnknown: () => {},
      onDropped: (count) => {
        dropped += count;
      },
    },
    limits,
  );
  return { channel, dials, droppedCount: () => dropped };
}

const ping = (sentMs: number): NodeMessage => ({ kind: "ping", sentMs });

function replicate(valueBytes: number): Replicate {
  const entry = {
    key: "k",
    version: 1,
    origin: 1,
    expiresAt: 0,
    format: 0 as const,
    value: new Uint8Array(valueBytes),
    opClient: 0,
    opSeq: 0,
    opAttempt: 0,
  };
  return { kind: "replicate", id: 1, entry } as unknown as Replicate;
}

async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("Channel", () => {
  test("dials once for the first send and sends what waited when the link is there", async () => {
    const { channel, dials } = setUp();
    const link = new FakeLink("peer");

    channel.send(ping(1), "a:1");
    channel.send(ping(2), "a:1");
    channel.add(link);
    dials[0]!.succeed();
    await settle();

    expect(dials.map(({ address }) => address)).toEqual(["a:1"]);
    expect(link.sent).toEqual([ping(1), ping(2)]);
  });

  test("sends on the newest open link without dialling", () => {
    const { channel, dials } = setUp();
    const links = [new FakeLink("peer"), new FakeLink("peer")];
    for (const link of links) channel.add(link);

    channel.send(ping(1), "a:1");

    expect(links.map(({ sent }) => sent.length)).toEqual([0, 1]);
    expect(dials).toHaveLength(0);
  });

  test("pauses from 50 ms to 2 s between attempts that fail, while something waits", async () => {
    const { channel, dials } = setUp();
    const attemptsAt: number[] = [];
    const start = performance.now();

    for (let elapsed = 0; elapsed < 10_000; elapsed += 10) {
      if (elapsed % 500 === 0) channel.send(ping(elapsed), "a:1");
      if (dials.length > attemptsAt.length) {
        attemptsAt.push(Math.round(performance.now() - start));
        dials.at(-1)!.fail(new Error("refused"));
      }
      await vi.advanceTimersByTimeAsync(10);
    }

    const pauses = attemptsAt.slice(1).map((at, index) => at - attemptsAt[index]!);
    expect(pauses.slice(0, 5)).toEqual([50, 100, 200, 400, 800]);
    expect(pauses.slice(5).every((pause) => pause === 1_000)).toBe(true);
    expect(channel.lastError?.message).toBe("refused");
  });

  test("dials to the address it was told last", async () => {
    const { channel, dials } = setUp();

    channel.send(ping(1), "a:1");
    channel.send(ping(2), "a:2");
    dials[0]!.fail(new Error("refused"));
    await vi.advanceTimersByTimeAsync(60);

    expect(dials.map(({ address }) => address)).toEqual(["a:1", "a:2"]);
  });

  test.each([
    [1_000, "lasted", 51],
    [999, "was lost at once", 801],
  ])("after a link that was open for %d ms (%s) pauses %d ms", async (openMs, _verdict, pauseMs) => {
    const { channel, dials } = setUp();
    channel.send(ping(1), "a:1");
    for (let attempt = 0; attempt < 4; attempt++) {
      dials.at(-1)!.fail(new Error("refused"));
      await vi.advanceTimersByTimeAsync(401);
    }
    expect(dials).toHaveLength(5);
    const link = new FakeLink("peer");
    channel.add(link);
    dials.at(-1)!.succeed();
    await vi.advanceTimersByTimeAsync(openMs);

    channel.remove(link);
    channel.send(ping(2), "a:1");
    if (openMs >= 1_000) {
      expect(dials).toHaveLength(6);
      dials.at(-1)!.fail(new Error("refused"));
    }
    const countBefore = dials.length;
    await vi.advanceTimersByTimeAsync(pauseMs - 2);
    expect(dials).toHaveLength(countBefore);
    await vi.advanceTimersByTimeAsync(2);

    expect(dials).toHaveLength(countBefore + 1);
  });

  test("drops what waited for two seconds and stops dialling for it", async () => {
    const { channel, dials, droppedCount } = setUp();
    channel.send(ping(1), "a:1");

    for (let elapsed = 0; elapsed < 8_000; elapsed += 50) {
      dials.at(-1)!.fail(new Error("refused"));
      await vi.advanceTimersByTimeAsync(50);
    }

    expect(droppedCount()).toBe(1);
    expect(channel.isIdle).toBe(true);
    expect(dials.length).toBe(6);
  });

  test("drops the oldest messages beyond its count", async () => {
    const { channel, droppedCount } = setUp();
    const link = new FakeLink("peer");

    for (let index = 0; index < CHANNEL_LIMITS.messagesMax + 2; index++) channel.send(ping(index), "a:1");
    channel.add(link);
    channel.flush();

    expect(droppedCount()).toBe(2);
    expect(link.sent).toHaveLength(CHANNEL_LIMITS.messagesMax);
    expect(link.sent[0]).toEqual(ping(2));
  });

  test("drops the oldest messages beyond its bytes, but keeps a single large one", () => {
    const { channel, droppedCount } = setUp();
    const link = new FakeLink("peer");
    const large = replicate(CHANNEL_LIMITS.bytesMax + 1);

    channel.send(ping(1), "a:1");
    channel.send(replicate(CHANNEL_LIMITS.bytesMax / 2), "a:1");
    channel.send(replicate(CHANNEL_LIMITS.bytesMax / 2), "a:1");
    expect(droppedCount()).toBe(2);
    channel.send(large, "a:1");
    expect(droppedCount()).toBe(3);
    channel.add(link);
    channel.flush();

    expect(link.sent).toEqual([large]);
  });

  test("dials at once when told to, but not twice at a time", async () => {
    const { channel, dials } = setUp();
    channel.send(ping(1), "a:1");
    dials[0]!.fail(new Error("refused"));
    await settle();

    channel.dialNow();
    channel.dialNow();

    expect(dials).toHaveLength(2);
  });

  test("counts a dial after which no link is there as failed", async () => {
    const { channel, dials } = setUp();

    channel.send(ping(1), "a:1");
    dials[0]!.succeed();
    await settle();

    expect(channel.lastError?.message).toBe("a:1 closed the connection at once");
  });

  test("gives up what waits and dials no more once closed", async () => {
    const { channel, dials, droppedCount } = setUp();
    channel.send(ping(1), "a:1");

    channel.close();
    dials[0]!.fail(new Error("refused"));
    await vi.advanceTimersByTimeAsync(10_000);
    channel.send(ping(2), "a:1");
    channel.dialNow();

    expect(dials).toHaveLength(1);
    expect(droppedCount()).toBe(1);
  });
});

describe("roughBytes", () => {
  test("counts the values that messages carry", () => {
    const { entry } = replicate(1_000);
    const messages = [
      replicate(1_000),
      { kind: "readReply", entry },
      { kind: "pulled", entries: [entry] },
      { kind: "forward", request: { kind: "write", key: "k", change: { type: "set", value: entry.value } } },
      { kind: "forwarded", reply: { kind: "got", value: entry.value } },
    ] as unknown as NodeMessage[];

    for (const message of messages) expect(roughBytes(message)).toBeGreaterThan(1_000);
    expect(roughBytes(ping(1))).toBeLessThan(1_000);
  });
});
