// The commands about the connection itself: HELLO, AUTH, CLIENT, PING, SELECT, RESET and the like.

import { OPEN_ACCESS } from "../../io/link.ts";
import { DEFAULT_USER } from "../users.ts";
import type { Call } from "./call.ts";
import { type Context, type Handler, isSubscriber, type Session } from "./context.ts";
import { CommandError, NOT_AN_INTEGER, SYNTAX_ERROR } from "./errors.ts";
import { unknownSubcommand } from "./keys.ts";
import { parseInt64 } from "./numbers.ts";
import { ErrorReply, MapReply, OK, PONG, PushReply, type Reply, Simple, VerbatimReply } from "./reply.ts";
import { caching, redirection, tracking, trackingFlags, trackingInfo } from "./tracking-commands.ts";

const WRONG_PASS = "WRONGPASS invalid username-password pair or user is disabled.";

/** One wrong password ends the connection, so that what was sent behind it is not even read. */
function authenticate({ session, services }: Context, user: string, password: Uint8Array): void {
  const access = services.accessOf(user, password);
  if (access !== undefined) {
    session.access = access;
    services.onProved(session);
    return;
  }
  services.onWrongSecret(session);
  session.close();
  throw new CommandError(WRONG_PASS);
}

const auth: Handler = (call, context) => {
  if (call.args.length > 3) throw new CommandError(SYNTAX_ERROR);
  const user = call.args.length === 3 ? call.word(1) : DEFAULT_USER;
  if (!context.services.isSecured) {
    if (call.args.length === 3 && user === DEFAULT_USER) return OK;
    throw new CommandError(
      call.args.length === 3
        ? WRONG_PASS
        : "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
    );
  }
  authenticate(context, user, call.args.at(-1)!);
  return OK;
};

const hello: Handler = (call, context) => {
  const { session, services } = context;
  const version = call.args.length > 1 ? parseInt64(call.word(1)) : BigInt(session.protocol);
  if (version === undefined) throw new CommandError("ERR Protocol version is not an integer or out of range");
  if (version !== 2n && version !== 3n) throw new CommandError("NOPROTO unsupported protocol version");
  let name: string | undefined;
  for (let index = 2; index < call.args.length; index++) {
    const word = call.word(index).toLowerCase();
    if (word === "auth" && index + 2 < call.args.length) {
      if (services.isSecured) authenticate(context, call.word(index + 1), call.args[index + 2]!);
      else if (call.word(index + 1) !== DEFAULT_USER) throw new CommandError(WRONG_PASS);
      index += 2;
    } else if (word === "setname" && index + 1 < call.args.length) {
      name = checkedName(call.word(++index));
    } else {
      throw new CommandError(`ERR Syntax error in HELLO option '${call.word(index).slice(0, 128)}'`);
    }
  }
  if (session.access === undefined) {
    throw new CommandError(
      "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
    );
  }
  if (name !== undefined) session.name = name;
  session.protocol = version === 3n ? 3 : 2;
  return new MapReply([
    ...["server", "redis", "version", services.version],
    ...["proto", session.protocol, "id", session.id],
    ...["mode", services.isCluster ? "cluster" : "standalone", "role", "master"],
    ...["modules", []],
  ]);
};

function checkedName(name: string): string {
  if (/^[!-~]{0,256}$/.test(name)) return name;
  throw new CommandError("ERR Client names cannot contain spaces, newlines or special characters.");
}

const client: Handler = (call, context) => {
  const subcommand = call.word(1).toLowerCase();
  const run = CLIENT_SUBCOMMANDS[subcommand];
  if (run === undefined || !Object.hasOwn(CLIENT_SUBCOMMANDS, subcommand)) throw unknownSubcommand(call);
  return run(call, context);
};

function demandCount(call: Call, count: number): void {
  if (call.args.length === count) return;
  const name = `${call.spec.name}|${call.word(1).toLowerCase()}`;
  throw new CommandError(`ERR wrong number of arguments for '${name}' command`);
}

type Subcommand = (call: Call, context: Context) => Reply | Promise<Reply>;

const CLIENT_SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  ...{ tracking, caching },
  getredir(call, { session }) {
    demandCount(call, 2);
    return redirection(session);
  },
  trackinginfo(call, { session }) {
    demandCount(call, 2);
    return trackingInfo(session);
  },
  id: (_call, { session }) => session.id,
  getname: (_call, { session }) => (session.name === "" ? null : session.name),
  setname(call, { session }) {
    demandCount(call, 3);
    session.name = checkedName(call.word(2));
    return OK;
  },
  setinfo(call, { session }) {
    demandCount(call, 4);
    const what = call.word(2).toLowerCase();
    const value = call.word(3);
    if (!/^[!-~]{0,256}$/.test(value))
      throw new CommandError(`ERR ${what} cannot contain spaces, newlines or special characters.`);
    if (what === "lib-name") session.libraryName = value;
    else if (what === "lib-ver") session.libraryVersion = value;
    else throw new CommandError(`ERR Unrecognized option '${call.word(2).slice(0, 128)}'`);
    return OK;
  },
  info: (_call, { session, services }) => new VerbatimReply(`${describe(session, services.wallMs())}\n`),
  list(call, { services }) {
    const nowMs = services.wallMs();
    const listed = [...services.sessions()].filter(listFilter(call));
    return new VerbatimReply(listed.map((session) => `${describe(session, nowMs)}\n`).join(""));
  },
  kill: killClients,
  "no-evict"(call) {
    demandCount(call, 3);
    return onOrOff(call) ? OK : OK;
  },
  reply(call, { session }) {
    demandCount(call, 3);
    const mode = call.word(2).toLowerCase();
    if (mode !== "on" && mode !== "off" && mode !== "skip") throw new CommandError(SYNTAX_ERROR);
    if (mode !== "skip") session.replies = mode;
    else if (session.replies !== "off") session.replies = "skip next";
    return OK;
  },
  unpause: () => OK,
  help: () => [
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CACHING (YES|NO)",
    "GETNAME",
    "GETREDIR",
    "ID",
    "INFO",
    "KILL <option>",
    "LIST",
    "NO-EVICT (ON|OFF)",
    "REPLY (ON|OFF|SKIP)",
    "SETINFO <option> <value>",
    "SETNAME <name>",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
    "TRACKINGINFO",
  ],
};

const CLIENT_TYPES = new Set(["normal", "master", "replica", "slave", "pubsub"]);

/** Which connections CLIENT LIST is asked for: all, those of a TYPE, or those with an ID. */
function listFilter(call: Call): (session: Session) => boolean {
  if (call.args.length === 2) return () => true;
  const option = call.word(2).toLowerCase();
  if (option === "type" && call.args.length === 4) {
    const type = call.word(3).toLowerCase();
    if (!CLIENT_TYPES.has(type))
      throw new CommandError(`ERR Unknown client type '${call.word(3).slice(0, 128)}'`);
    return (session) => typeOf(session) === type;
  }
  if (option !== "id" || call.args.length < 4) throw new CommandError(SYNTAX_ERROR);
  const ids = call.args.slice(3).map((_arg, index) => parseInt64(call.word(index + 3)));
  if (ids.includes(undefined)) throw new CommandError("ERR Invalid client ID");
  return (session) => ids.includes(BigInt(session.id));
}

function onOrOff(call: Call): boolean {
  const word = call.word(2).toLowerCase();
  if (word !== "on" && word !== "off") throw new CommandError(SYNTAX_ERROR);
  return word === "on";
}

function killClients(call: Call, { session, services }: Context): Reply {
  // Without a filter it would be everybody.
  if (call.args.length < 3) throw new CommandError("ERR wrong number of arguments for 'client|kill' command");
  const isOld = call.args.length === 3;
  const filters: ((other: Session) => boolean)[] = [];
  let skipsOwn = !isOld;
  if (isOld) filters.push((other) => other.address === call.word(2));
  for (let index = 2; !isOld && index < call.args.length; index += 2) {
    const option = call.word(index).toLowerCase();
    if (index + 1 >= call.args.length) throw new CommandError(SYNTAX_ERROR);
    const value = call.word(index + 1);
    if (option === "id") filters.push((other) => String(other.id) === value);
    else if (option === "addr") filters.push((other) => other.address === value);
    else if (option === "laddr") filters.push((other) => other.localAddress === value);
    else if (option === "type") filters.push((other) => typeOf(other) === value.toLowerCase());
    else if (option === "user") filters.push((other) => userOf(other) === value);
    else if (option === "skipme" && /^(yes|no)$/i.test(value)) skipsOwn = value.toLowerCase() === "yes";
    else throw new CommandError(SYNTAX_ERROR);
  }
  const killed = [...services.sessions()].filter(
    (other) => !(skipsOwn && other === session) && filters.every((filter) => filter(other)),
  );
  for (const other of killed) other.close();
  if (isOld) return killed.length > 0 ? OK : new ErrorReply("ERR No such client");
  return killed.length;
}

function userOf({ access }: Session): string {
  return access === undefined || access.user === "" ? DEFAULT_USER : access.user;
}

function typeOf(session: Session): string {
  return session.channels.size + session.patterns.size > 0 ? "pubsub" : "normal";
}

function flagsOf(session: Session): string {
  const flags =
    (session.channels.size + session.patterns.size > 0 ? "P" : "") +
    (session.queue === undefined ? "" : "x") +
    trackingFlags(session);
  return flags === "" ? "N" : flags;
}

function describe(session: Session, nowMs: number): string {
  const seconds = (sinceMs: number) => Math.max(0, Math.floor((nowMs - sinceMs) / 1000));
  const fields = {
    id: session.id,
    addr: session.address,
    laddr: session.localAddress,
    name: session.name,
    age: seconds(session.sinceMs),
    idle: seconds(session.lastMs),
    flags: flagsOf(session),
    db: 0,
    sub: session.channels.size,
    psub: session.patterns.size,
    multi: session.queue === undefined ? -1 : session.queue.length,
    cmd: session.lastCommand,
    user: userOf(session),
    redir: redirection(session),
    resp: session.protocol,
    "lib-name": session.libraryName,
    "lib-ver": session.libraryVersion,
  };
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

const ping: Handler = (call, { session }) => {
  if (call.args.length > 2) throw new CommandError("ERR wrong number of arguments for 'ping' command");
  const text = call.args[1];
  if (isSubscriber(session)) return new PushReply(["pong", text ?? ""]);
  return text ?? PONG;
};

const select: Handler = (call, { services }) => {
  const index = parseInt64(call.word(1));
  if (index === undefined) throw new CommandError(NOT_AN_INTEGER);
  if (index === 0n) return OK;
  throw new CommandError(
    services.isCluster ? "ERR SELECT is not allowed in cluster mode" : "ERR DB index is out of range",
  );
};

const quit: Handler = (_call, { session }) => {
  session.close();
  return OK;
};

const reset: Handler = (_call, { session, services }) => {
  services.pubSub.forget(session);
  services.tracker.turnOff(session);
  session.queue = undefined;
  session.queueBytes = 0;
  session.isQueueBroken = false;
  session.watched.clear();
  session.protocol = 2;
  session.name = "";
  session.replies = "on";
  session.access = services.isSecured ? undefined : OPEN_ACCESS;
  return new Simple("RESET");
};

/** By name. */
export const CONNECTION_COMMANDS: Readonly<Record<string, Handler>> = {
  ...{ auth, hello, client, ping, select, quit, reset },
  echo: (call) => call.args[1]!,
  readonly: () => OK,
  readwrite: () => OK,
  asking: () => OK,
};
