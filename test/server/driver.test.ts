import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Effect, Input, Now } from "../../src/core/machine.ts";
import { Driver, type DriverPorts } from "../../src/server/driver.ts";
import { ScriptedCore } from "./fakes.ts";

const PING: Input = { kind: "client", client: 1, request: { kind: "ping", sentMs: 1 } };
const REFUTED: Effect = { kind: "event", event: { type: "refuted", incarnation: 1 } };

/** Time is fake and moves with the timers; `jump` moves it without letting any run, as a blocked event loop does. */
function setUp() {
  const core = new ScriptedCore();
  let skippedMs = 0;
  const log: string[] = [];
  const fatal: [unknown, string][] = [];
  const ports: DriverPorts = {
    now: (): Now => ({ monoMs: performance.now() + skippedMs, wallMs: 1e12 }),
    send: ({ to }) => log.push(`send ${to}`),
    redial: (member, path) => log.push(`redial ${member} ${path}`),
    reply: (client, { kind }) => log.push(`reply ${client} ${kind}`),
    onEvent: ({ type }) => log.push(`event ${type}`),
    onReleased: () => log.push("released"),
    onBeat: () => {},
    onFatal: (error, kind) => fatal.push([error, kind]),
  };
  const driver = new Driver(core, ports);
  return {
    core,
    driver,
    ports,
    log,
    fatal,
    jump: (ms: number) => {
      skippedMs += ms;
    },
  };
}

/** What waits for the end of the poll phase. */
const immediates: (() => void)[] = [];

/** One poll phase: what lies in the sockets goes in, then what waited for the end of the phase runs. */
function pollPhase(input: () => void = () => {}): void {
  input();
  for (const immediate of immediates.splice(0)) immediate();
}

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
  });
  vi.stubGlobal("setImmediate", (immediate: () => void) => immediates.push(immediate));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  immediates.length = 0;
});

describe("Driver", () => {
  test("carries out the effects of a step in order", () => {
    const { core, driver, log } = setUp();
    core.respond = () => [
      {
        kind: "send",
        to: "n2",
        path: "peer",
        address: "a:1",
        message: { kind: "ping", sentMs: 1 },
      } as Effect,
      { kind: "reply", client: 4, message: { kind: "commanded", id: 1 } },
      { kind: "redial", member: "n3", path: "gossip" } as Effect,
      REFUTED,
      { kind: "released" },
    ];

    driver.feed(PING);

    expect(log).toEqual(["send n2", "reply 4 commanded", "redial n3 gossip", "event refuted", "released"]);
  });

  test("feeds what an effect causes after the effects of its step", () => {
    const { core, driver, ports, log } = setUp();
    ports.onReleased = () => {
      log.push("released");
      driver.feed({ kind: "leave" });
    };
    core.respond = ({ kind }) => (kind === "client" ? [{ kind: "released" }, REFUTED] : []);

    driver.feed(PING);

    expect(log).toEqual(["released", "event refuted"]);
    expect(core.kinds).toEqual(["client", "leave"]);
  });

  test("ticks at the deadline and at the next one after it", () => {
    const { core, driver } = setUp();
    core.nextDeadlineMs = 30;
    core.respond = (input, now) => {
      if (input.kind === "tick" && now.monoMs >= core.nextDeadlineMs) core.nextDeadlineMs += 40;
      return [];
    };

    driver.start();
    vi.advanceTimersByTime(29);
    expect(core.kinds).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(core.kinds).toEqual(["tick"]);
    vi.advanceTimersByTime(40);

    expect(core.kinds).toEqual(["tick", "tick"]);
    driver.stop();
  });

  test("ticks earlier when an input brings the deadline forward", () => {
    const { core, driver } = setUp();
    core.nextDeadlineMs = 1_000;
    driver.start();
    core.respond = ({ kind }) => {
      core.nextDeadlineMs = kind === "client" ? 20 : Number.POSITIVE_INFINITY;
      return [];
    };

    driver.feed(PING);
    vi.advanceTimersByTime(20);

    expect(core.kinds).toEqual(["client", "tick"]);
    driver.stop();
  });

  test("tells the core of a stall before the request that waited in a socket", () => {
    const { core, driver, jump } = setUp();
    driver.start();

    jump(5_000);
    driver.feed(PING);

    expect(core.inputs).toEqual([{ kind: "stall", ms: 5_000 }, PING]);
    driver.stop();
  });

  test("tells the core of a stall once when the late beat follows the request", () => {
    const { core, driver, jump } = setUp();
    driver.start();

    jump(5_000);
    driver.feed(PING);
    vi.advanceTimersByTime(100);

    expect(core.kinds.filter((kind) => kind === "stall")).toHaveLength(1);
    driver.stop();
  });

  test("lets waiting input in between a stall that the beat notices and the overdue tick", () => {
    const { core, driver, jump } = setUp();
    core.nextDeadlineMs = 95;
    driver.start();

    // The loop is blocked from 90 to 490 ms; the deadline is overdue then, and a frame lies in a socket.
    vi.advanceTimersByTime(90);
    jump(400);
    vi.advanceTimersByTime(10);
    pollPhase(() => driver.feed(PING));
    expect(core.kinds).toEqual(["stall", "client"]);
    pollPhase();

    expect(core.kinds).toEqual(["stall", "client", "tick"]);
    driver.stop();
  });

  test("holds the overdue tick back when its timer is the first to run after a stall", () => {
    const { core, driver, jump } = setUp();
    core.nextDeadlineMs = 10;
    driver.start();

    jump(1_000);
    vi.advanceTimersByTime(10);
    expect(core.inputs).toEqual([{ kind: "stall", ms: 1_010 }]);
    pollPhase(() => driver.feed(PING));
    vi.advanceTimersByTime(5);
    pollPhase();

    expect(core.kinds).toEqual(["stall", "client", "tick"]);
    driver.stop();
  });

  test("holds ticks back for a whole poll phase when a stall is noticed in the middle of one", () => {
    const { core, driver, jump } = setUp();
    core.nextDeadlineMs = 10;
    driver.start();

    jump(1_000);
    pollPhase(() => driver.feed(PING));
    vi.advanceTimersByTime(10);
    pollPhase(() => driver.feed({ kind: "clientClosed", client: 1 }));

    expect(core.kinds).toEqual(["stall", "client", "clientClosed", "tick"]);
    driver.stop();
  });

  test("holds ticks back anew when another stall follows", () => {
    const { core, driver, jump } = setUp();
    driver.start();

    jump(1_000);
    driver.feed(PING);
    pollPhase();
    jump(1_000);
    pollPhase();

    expect(core.kinds).toEqual(["stall", "client", "stall"]);
    pollPhase();
    pollPhase();
    expect(core.kinds).toEqual(["stall", "client", "stall", "tick"]);
    driver.stop();
  });

  test("steps a core that threw no more, and says at what", () => {
    const { core, driver, fatal, log } = setUp();
    const bug = new Error("bug");
    core.nextDeadlineMs = 10;
    core.respond = () => {
      throw bug;
    };
    driver.start();

    driver.feed(PING);
    driver.feed({ kind: "leave" });
    vi.advanceTimersByTime(1_000);

    expect(fatal).toEqual([[bug, "client"]]);
    expect(core.kinds).toEqual(["client"]);
    expect(log).toEqual([]);
  });

  test("treats a bug in the handling of a stall like any other", () => {
    const { core, driver, fatal, jump } = setUp();
    core.respond = ({ kind }) => {
      if (kind === "stall") throw new Error("bug");
      return [];
    };
    driver.start();

    jump(1_000);
    driver.feed(PING);

    expect(fatal.map(([, kind]) => kind)).toEqual(["stall"]);
    expect(core.kinds).toEqual(["stall"]);
  });

  test("ends when effects cause inputs without end", () => {
    const { core, driver, ports, fatal } = setUp();
    ports.onEvent = () => {
      driver.feed(PING);
      driver.feed(PING);
    };
    core.respond = () => [REFUTED];

    driver.feed(PING);

    expect(fatal).toHaveLength(1);
  });

  test("does nothing after a stop", () => {
    const { core, driver } = setUp();
    core.nextDeadlineMs = 10;
    driver.start();

    driver.stop();
    driver.feed(PING);
    vi.advanceTimersByTime(1_000);

    expect(core.inputs).toEqual([]);
  });

  test("says on each beat how late the event loop was", () => {
    const { driver, ports, jump } = setUp();
    const lateness: number[] = [];
    ports.onBeat = (lateMs) => lateness.push(Math.round(lateMs));
    driver.start();

    vi.advanceTimersByTime(100);
    jump(70);
    vi.advanceTimersByTime(100);

    expect(lateness).toEqual([0, 70]);
    driver.stop();
  });
});
