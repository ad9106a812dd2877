// CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR: how a connection says that it caches what it reads. Options, checks and words are
// those of Redis 7.0.

import type { Call } from "./call.ts";
import type { Context, Session } from "./context.ts";
import { CommandError, NOT_AN_INTEGER, SYNTAX_ERROR } from "./errors.ts";
import { checkPattern } from "./glob.ts";
import { parseInt64 } from "./numbers.ts";
import { MapReply, OK, type Reply, SetReply } from "./reply.ts";
import { PREFIXES_MAX, type Tracking } from "./tracking.ts";

interface Options {
  isBroadcast: boolean;
  isOptIn: boolean;
  isOptOut: boolean;
  skipsOwn: boolean;
  redirect: number;
  readonly prefixes: string[];
}

/** CLIENT TRACKING ON|OFF with its options. */
export async function tracking(call: Call, context: Context): Promise<Reply> {
  if (call.args.length < 3)
    throw new CommandError("ERR wrong number of arguments for 'client|tracking' command");
  const options = optionsOf(call, context);
  const mode = call.word(2).toLowerCase();
  const { tracker } = context.services;
  if (mode === "off") tracker.turnOff(context.session);
  else if (mode === "on") {
    const held = context.session.tracking;
    checkModes(options, held);
    const prefixes = options.isBroadcast ? prefixesOf(options, held) : [];
    await tracker.turnOn(context.session, {
      ...options,
      prefixes,
      isExcepted: false,
      isRedirectBroken: false,
    });
  } else throw new CommandError(SYNTAX_ERROR);
  return OK;
}

function optionsOf(call: Call, { services }: Context): Options {
  const options: Options = {
    isBroadcast: false,
    isOptIn: false,
    isOptOut: false,
    skipsOwn: false,
    redirect: 0,
    prefixes: [],
  };
  for (let index = 3; index < call.args.length; index++) {
    const word = call.word(index).toLowerCase();
    const hasMore = index + 1 < call.args.length;
    if (word === "redirect" && hasMore) {
      if (options.redirect !== 0)
        throw new CommandError("ERR A client can only redirect to a single other client");
      const id = parseInt64(call.word(++index));
      if (id === undefined) throw new CommandError(NOT_AN_INTEGER);
      if (services.session(Number(id)) === undefined)
        throw new CommandError("ERR The client ID you want redirect to does not exist");
      options.redirect = Number(id);
    } else if (word === "bcast") options.isBroadcast = true;
    else if (word === "optin") options.isOptIn = true;
    else if (word === "optout") options.isOptOut = true;
    else if (word === "noloop") options.skipsOwn = true;
    else if (word === "prefix" && hasMore) {
      checkPattern(call.args[++index]!);
      options.prefixes.push(call.word(index));
    } else throw new CommandError(SYNTAX_ERROR);
  }
  return options;
}

/** Whether the options go together, and with what the connection is doing. */
function checkModes(options: Options, held: Tracking | undefined): void {
  const refuse = (text: string): never => {
    throw new CommandError(`ERR ${text}`);
  };
  if (!options.isBroadcast && options.prefixes.length > 0)
    refuse("PREFIX option requires BCAST mode to be enabled");
  if (held !== undefined && held.isBroadcast !== options.isBroadcast)
    refuse(
      "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
    );
  if (options.isBroadcast && (options.isOptIn || options.isOptOut))
    refuse("OPTIN and OPTOUT are not compatible with BCAST");
  if (options.isOptIn && options.isOptOut) refuse("You can't specify both OPTIN mode and OPTOUT mode");
  if ((options.isOptIn && held?.isOptOut) || (options.isOptOut && held?.isOptIn))
    refuse(
      "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
    );
}

/** The prefixes asked for now and before; `[""]` is every key. */
function prefixesOf({ prefixes }: Options, held: Tracking | undefined): readonly string[] {
  const before = held?.prefixes ?? [];
  // First: what follows compares each with each.
  if (before.length + prefixes.length > PREFIXES_MAX)
    throw new CommandError(`ERR a connection may have at most ${PREFIXES_MAX} prefixes`);
  const overlaps = (a: string, b: string) => a.startsWith(b) || b.startsWith(a);
  for (const [index, prefix] of prefixes.entries()) {
    const other = before.find((one) => overlaps(one, prefix));
    if (other !== undefined)
      throw new CommandError(
        `ERR Prefix '${prefix}' overlaps with an existing prefix '${other}'. Prefixes for a single client must not overlap.`,
      );
    const twin = prefixes.slice(index + 1).find((one) => overlaps(one, prefix));
    if (twin !== undefined)
      throw new CommandError(
        `ERR Prefix '${prefix}' overlaps with another provided prefix '${twin}'. Prefixes for a single client must not overlap.`,
      );
  }
  const all = [...before, ...prefixes];
  return all.length === 0 ? [""] : all;
}

/** CLIENT CACHING YES|NO: the next command is an exception. */
export function caching(call: Call, { session }: Context): Reply {
  const { tracking: held } = session;
  if (call.args.length !== 3)
    throw new CommandError("ERR wrong number of arguments for 'client|caching' command");
  if (held === undefined)
    throw new CommandError(
      "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    );
  const word = call.word(2).toLowerCase();
  if (word !== "yes" && word !== "no") throw new CommandError(SYNTAX_ERROR);
  if (word === "yes" && !held.isOptIn)
    throw new CommandError("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
  if (word === "no" && !held.isOptOut)
    throw new CommandError("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
  held.isExcepted = true;
  return OK;
}

/** CLIENT GETREDIR: who is told instead; 0 for the connection itself, -1 without tracking. */
export function redirection({ tracking: held }: Session): number {
  return held === undefined ? -1 : held.redirect;
}

/** CLIENT TRACKINGINFO. */
export function trackingInfo(session: Session): Reply {
  const { tracking: held } = session;
  const flags = [held === undefined ? "off" : "on"];
  if (held?.isBroadcast) flags.push("bcast");
  if (held?.isOptIn) flags.push("optin");
  if (held?.isOptIn && held.isExcepted) flags.push("caching-yes");
  if (held?.isOptOut) flags.push("optout");
  if (held?.isOptOut && held.isExcepted) flags.push("caching-no");
  if (held?.skipsOwn) flags.push("noloop");
  if (held?.isRedirectBroken) flags.push("broken_redirect");
  const prefixes = (held?.prefixes ?? []).map((prefix) => Buffer.from(prefix, "latin1"));
  return new MapReply([
    ...["flags", new SetReply(flags)],
    ...["redirect", redirection(session)],
    ...["prefixes", prefixes],
  ]);
}

/** What CLIENT INFO shows of it: letters for `flags`. */
export function trackingFlags({ tracking: held }: Session): string {
  if (held === undefined) return "";
  return `t${held.isRedirectBroken ? "R" : ""}${held.isBroadcast ? "B" : ""}`;
}
