// Hosts of their own on one machine: Linux network namespaces on a bridge, so that faults of the network can be done to real
// processes. Everything is done with `ip`, `tc` and `ss` of iproute2, as root; {@link HostNetwork.obstacle} says why it cannot be.
//
//   this process (.254) --- bridge --- veth --- host 1 (.1)
//                             |------ veth --- host 2 (.2) ...
//
// One way of a link is cut by a neighbour entry: the sender's frames go to a hardware address that nobody has. Nobody is told
// anything, as with a broken switch; connections stay open and nothing arrives. (A dropped route would tell the sender at once.)
// Loss of power is the host's cable pulled before its processes are killed, so that no connection is seen to end.
//
// Whatever was made goes with {@link HostNetwork.remove}, also when the process ends before.

import { execFile, execFileSync } from "node:child_process";

/** A host by its number, from 1; {@link OBSERVER} is the process that made the network. */
export type HostNumber = number;

/** The number of the host that this process is. */
export const OBSERVER: HostNumber = 254;

/** Locally administered, and nobody's. */
const NOWHERE = "02:00:00:00:de:ad";
const HOSTS_MAX = 64;
/** What still passes where large frames are lost. */
const NARROW_BYTES = 600;
const COMMAND_TIMEOUT_MS = 5_000;

/** See the top of the file. */
export class HostNetwork {
  readonly #name: string;
  readonly #prefix: string;
  readonly #count: number;
  readonly #onExit = (): void => this.remove();
  #isRemoved = false;

  private constructor(count: number) {
    // Two runs on one machine have different names and networks most of the time; a clash is an error of `ip`.
    this.#name = `rh${process.pid % 100_000}`;
    this.#prefix = `10.199.${process.pid % 250}`;
    this.#count = count;
  }

  /** Why hosts cannot be made here; `undefined` when they can. */
  static obstacle(): string | undefined {
    if (process.platform !== "linux") return "network namespaces are a thing of Linux";
    if (process.getuid?.() !== 0) return "only root may make network namespaces";
    const name = `rhprobe${process.pid % 100_000}`;
    try {
      execFileSync("ip", ["netns", "add", name], { stdio: "pipe", timeout: COMMAND_TIMEOUT_MS });
      execFileSync("ip", ["netns", "del", name], { stdio: "pipe", timeout: COMMAND_TIMEOUT_MS });
      return undefined;
    } catch (error) {
      return `\`ip netns\` does not work here: ${error instanceof Error ? error.message.trim() : String(error)}`;
    }
  }

  /**
   * Makes hosts 1 to `count`.
   *
   * @throws {Error} when a command fails; what was made until then is removed
   */
  static create(count: number): HostNetwork {
    if (!Number.isInteger(count) || count < 1 || count > HOSTS_MAX) {
      throw new Error(`A network has from 1 to ${HOSTS_MAX} hosts, received ${count}`);
    }
    const network = new HostNetwork(count);
    process.once("exit", network.#onExit);
    try {
      network.#build();
      return network;
    } catch (error) {
      network.remove();
      throw error;
    }
  }

  /** The host's address, without a port. */
  address(host: HostNumber): string {
    return `${this.#prefix}.${host}`;
  }

  /** The command that runs another one on the host; the process keeps its id. */
  launcher(host: HostNumber): readonly string[] {
    return ["ip", "netns", "exec", this.#namespace(host)];
  }

  /** What hosts of `sources` send to hosts of `targets` is lost from now on; with `isOneWay` false the answers too. */
  async cut(
    sources: readonly HostNumber[],
    targets: readonly HostNumber[],
    options: { readonly isOneWay: boolean },
  ): Promise<void> {
    const mute = (host: HostNumber, others: readonly HostNumber[]) =>
      this.#neighbours(
        host,
        others.map((other) => `replace ${this.address(other)} lladdr ${NOWHERE} nud permanent`),
      );
    const away = sources.map((host) => mute(host, targets));
    const back = options.isOneWay ? [] : targets.map((host) => mute(host, sources));
    await Promise.all([...away, ...back]);
  }

  /** Undoes every cut between the two groups, both ways. */
  async heal(hosts: readonly HostNumber[], others: readonly HostNumber[]): Promise<void> {
    const hear = (host: HostNumber, group: readonly HostNumber[]) =>
      this.#neighbours(
        host,
        group.map((other) => `del ${this.address(other)}`),
      );
    await Promise.all([
      ...hosts.map((host) => hear(host, others)),
      ...others.map((host) => hear(host, hosts)),
    ]);
  }

  /** Pulls the host's cable, or puts it in again. */
  async plug(host: HostNumber, isIn: boolean): Promise<void> {
    await run("ip", ["link", "set", this.#cable(host), isIn ? "up" : "down"]);
  }

  /** Resets every TCP connection of the host: both ends are told. */
  async reset(host: HostNumber): Promise<void> {
    await run("ip", ["netns", "exec", this.#namespace(host), "ss", "-K", "-t", "state", "established"]);
  }

  /** Resets every TCP connection of this process's host with the others. */
  async resetObserver(): Promise<void> {
    await run("ss", ["-K", "-t", "state", "established", "src", this.address(OBSERVER)]);
  }

  /**
   * Loses every frame of the host that is larger than {@link NARROW_BYTES}, without a word: its ends believe that 1,500 pass. Segments
   * leave one by one meanwhile, since the kernel hands bundles of them through whatever their size.
   */
  async narrow(host: HostNumber, isNarrow: boolean): Promise<void> {
    const bundle = ["link", "set", "eth0", "gso_max_segs", isNarrow ? "1" : "65535"];
    await run("ip", ["-n", this.#namespace(host), ...bundle]);
    await run("ip", ["link", "set", this.#cable(host), "mtu", isNarrow ? `${NARROW_BYTES}` : "1500"]);
  }

  /** Limits what the host sends, in kilobits a second; `undefined` ends that. */
  async limit(host: HostNumber, kilobits: number | undefined): Promise<void> {
    const device = ["dev", "eth0", "root"];
    const how = ["tbf", "rate", `${kilobits}kbit`, "burst", "32kbit", "latency", "400ms"];
    const words =
      kilobits === undefined ? ["qdisc", "del", ...device] : ["qdisc", "replace", ...device, ...how];
    await run("tc", ["-n", this.#namespace(host), ...words]);
  }

  /** Removes hosts and bridge, as far as they are there. Idempotent. */
  remove(): void {
    if (this.#isRemoved) return;
    this.#isRemoved = true;
    process.off("exit", this.#onExit);
    for (let host = 1; host <= this.#count; host++) tryCommand(["netns", "del", this.#namespace(host)]);
    tryCommand(["link", "del", this.#name]);
  }

  #build(): void {
    const bridge = this.#name;
    command(["link", "add", bridge, "type", "bridge"]);
    command(["addr", "add", `${this.address(OBSERVER)}/24`, "dev", bridge]);
    // A bridge whose own frame size was set does not follow that of its ports. Setting what is there already does not count.
    command(["link", "set", bridge, "mtu", "1400"]);
    command(["link", "set", bridge, "mtu", "1500"]);
    command(["link", "set", bridge, "up"]);
    for (let host = 1; host <= this.#count; host++) {
      const namespace = this.#namespace(host);
      command(["netns", "add", namespace]);
      command(["link", "add", this.#cable(host), "type", "veth", "peer", "name", "eth0", "netns", namespace]);
      command(["link", "set", this.#cable(host), "master", bridge, "up"]);
      command(["-n", namespace, "addr", "add", `${this.address(host)}/24`, "dev", "eth0"]);
      command(["-n", namespace, "link", "set", "lo", "up"]);
      command(["-n", namespace, "link", "set", "eth0", "up"]);
    }
  }

  /** In one go: `ip` starts in some milliseconds, and a cut is meant to be of one instant. `-force`: what is not there need not go. */
  async #neighbours(host: HostNumber, changes: readonly string[]): Promise<void> {
    const isHere = host === OBSERVER;
    const device = isHere ? this.#name : "eth0";
    const lines = changes.map((change) => `neigh ${change} dev ${device}\n`).join("");
    await run("ip", [...(isHere ? [] : ["-n", this.#namespace(host)]), "-force", "-batch", "-"], lines);
  }

  #namespace(host: HostNumber): string {
    return `${this.#name}-${host}`;
  }

  #cable(host: HostNumber): string {
    return `${this.#name}v${host}`;
  }
}

function command(words: readonly string[]): void {
  execFileSync("ip", words, { stdio: "pipe", timeout: COMMAND_TIMEOUT_MS });
}

function tryCommand(words: readonly string[]): void {
  try {
    command(words);
  } catch {
    // It was never made, or is gone already.
  }
}

/** Without holding up this process, which makes calls meanwhile. A batch that found nothing to undo has done its work. */
function run(program: string, words: readonly string[], input?: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, words, { timeout: COMMAND_TIMEOUT_MS }, (error, _output, complaint) => {
      if (error !== null && input === undefined) {
        reject(new Error(`\`${program} ${words.join(" ")}\` failed: ${complaint.trim()}`));
      } else {
        resolve();
      }
    });
    if (input !== undefined) child.stdin?.end(input);
  });
}
