// A client's process: the client machine and the shell around it. Connections are named by address, as the client knows them.

import type { ClientReply, Message, ReadMode } from "../../src/core/messages.ts";
import type { ClientEffect, ClientInput, ClientMachine, Operation, Settled } from "./client-adapter.ts";
import type { Connection, Connections, Endpoint, SideIndex } from "./connections.ts";
import type { EventQueue } from "./event-queue.ts";
import { describe } from "./node-process.ts";
import { ProcessLoop } from "./process.ts";
import { Violation } from "./violation.ts";

export interface ClientEnvironment {
  readonly queue: EventQueue;
  readonly connections: Connections;
  readonly trace: (source: string, text: () => string) => void;
}

export class ClientProcess implements Endpoint {
  readonly host: string;
  readonly id: string;
  readonly role = "client" as const;
  readonly epoch = 1;
  readonly isRunning = true;
  readonly genesisId = "";
  readonly loop: ProcessLoop;
  readonly #env: ClientEnvironment;
  readonly #machine: ClientMachine;
  readonly #links = new Map<string, Connection>();
  readonly #dialling = new Set<string>();
  readonly #calls = new Map<number, (settled: Settled) => void>();
  #nextCall = 1;

  constructor(host: string, env: ClientEnvironment, create: (loop: ProcessLoop) => ClientMachine) {
    this.host = host;
    this.id = host;
    this.#env = env;
    this.loop = new ProcessLoop(host, env.queue, {
      tick: () => this.#step({ kind: "tick" }),
      deadline: () => this.#machine.deadline(),
    });
    this.#machine = create(this.loop);
    this.#step({ kind: "tick" });
  }

  get isResponsive(): boolean {
    return this.loop.isResponsive;
  }

  /** Calls that have not settled. */
  get pending(): number {
    return this.#calls.size;
  }

  call(operation: Operation, timeoutMs: number, onSettled: (settled: Settled) => void): void {
    const call = this.#nextCall++;
    this.#calls.set(call, onSettled);
    this.loop.accept(() => this.#step({ kind: "call", call, operation, timeoutMs }));
  }

  /** Reads keys at one moment; each is a call. */
  getMany(
    keys: readonly string[],
    options: { readonly read: ReadMode; readonly timeoutMs: number },
    onSettled: (index: number, settled: Settled) => void,
  ): void {
    const call = this.#nextCall;
    this.#nextCall += keys.length;
    for (const index of keys.keys()) this.#calls.set(call + index, (settled) => onSettled(index, settled));
    this.loop.accept(() => this.#step({ kind: "gets", call, keys, ...options }));
  }

  pause(): void {
    this.loop.hold();
  }

  resume(): void {
    this.loop.release(() => {});
  }

  opened(): void {
    // The dial's own callback has the address.
  }

  received(connection: Connection, _side: SideIndex, messages: readonly Message[]): void {
    this.loop.accept(() => {
      const address = this.#addressOf(connection);
      if (address === undefined) return;
      for (const message of messages) {
        this.#step({ kind: "message", address, message: message as ClientReply });
      }
    });
  }

  closed(connection: Connection): void {
    this.loop.accept(() => {
      const address = this.#addressOf(connection);
      if (address === undefined) return;
      this.#links.delete(address);
      this.#step({ kind: "link", address, isUp: false });
    });
  }

  #addressOf(connection: Connection): string | undefined {
    for (const [address, link] of this.#links) if (link === connection) return address;
    return undefined;
  }

  #step(input: ClientInput): void {
    this.#env.trace(this.host, () => `<- ${describe(input)}`);
    let effects: readonly ClientEffect[];
    try {
      effects = this.#machine.step(input, this.loop.now);
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      throw new Violation("assertion", `${this.host} on ${describe(input)}: ${text}`, this.#env.queue.count);
    }
    this.#carryOut(effects);
    this.loop.arm();
  }

  #carryOut(effects: readonly ClientEffect[]): void {
    const frames = new Map<string, Message[]>();
    const flush = () => {
      for (const [address, messages] of frames) {
        const link = this.#links.get(address);
        if (link !== undefined) this.#env.connections.send(link, 0, messages);
      }
      frames.clear();
    };
    for (const effect of effects) {
      this.#env.trace(this.host, () => `-> ${describe(effect)}`);
      if (effect.kind === "send") {
        const frame = frames.get(effect.address);
        if (frame === undefined) frames.set(effect.address, [effect.message]);
        else frame.push(effect.message);
      } else if (effect.kind === "dial") {
        this.#dial(effect.address);
      } else if (effect.kind === "drop") {
        flush();
        this.#drop(effect.address);
      } else {
        this.#settle(effect.call, effect.settled);
      }
    }
    flush();
  }

  #dial(address: string): void {
    if (this.#links.has(address) || this.#dialling.has(address)) return;
    this.#dialling.add(address);
    this.#env.connections.dial(
      this,
      { address, path: "client" },
      {
        onOpen: (connection) => {
          this.loop.accept(() => {
            if (!this.#dialling.delete(address)) {
              this.#env.connections.close(connection, 0);
              return;
            }
            this.#links.set(address, connection);
            this.#step({ kind: "link", address, isUp: true });
          });
        },
        onFailure: () => {
          this.loop.accept(() => {
            if (this.#dialling.delete(address)) this.#step({ kind: "link", address, isUp: false });
          });
        },
      },
    );
  }

  #drop(address: string): void {
    this.#dialling.delete(address);
    const link = this.#links.get(address);
    if (link === undefined) return;
    this.#links.delete(address);
    this.#env.connections.close(link, 0);
  }

  #settle(call: number, settled: Settled): void {
    const onSettled = this.#calls.get(call);
    if (onSettled === undefined) {
      throw new Violation("settle once", `${this.host} settled call ${call} twice`, this.#env.queue.count);
    }
    this.#calls.delete(call);
    onSettled(settled);
  }
}
