// SUBSCRIBE, PUBLISH and the rest of them. Their confirmations are pushes of their own: one for each channel, in order.

import type { Call } from "./call.ts";
import type { Context, Handler, Session } from "./context.ts";
import { CommandError } from "./errors.ts";
import { checkPattern, globOf } from "./glob.ts";
import { unknownSubcommand } from "./keys.ts";
import { channelBytes, channelText, PATTERNS_BYTES_MAX, SUBSCRIPTIONS_MAX } from "./pub-sub.ts";
import { ManyReplies, PushReply, type Reply } from "./reply.ts";
import { ReplyList } from "./reply-list.ts";

function subscriptions({ channels, patterns }: Session): number {
  return channels.size + patterns.size;
}

function confirmation(kind: string, channel: string | null, session: Session): Reply {
  return new PushReply([kind, channel === null ? null : channelBytes(channel), subscriptions(session)]);
}

function subscribing(kind: "subscribe" | "psubscribe"): Handler {
  return (call, { session, services: { pubSub } }) => {
    call.args.slice(1).forEach(checkPattern);
    const names = call.args.slice(1).map(channelText);
    if (subscriptions(session) + names.length > SUBSCRIPTIONS_MAX)
      throw new CommandError(`ERR a connection may have at most ${SUBSCRIPTIONS_MAX} subscriptions`);
    const bytes = names.reduce((sum, { length }) => sum + length, session.patternsBytes);
    if (kind === "psubscribe" && bytes > PATTERNS_BYTES_MAX)
      throw new CommandError(
        `ERR a connection's patterns may have at most ${PATTERNS_BYTES_MAX} bytes together`,
      );
    const replies = names.map((name) => {
      if (kind === "subscribe") pubSub.subscribe(session, name);
      else pubSub.subscribePattern(session, name);
      return confirmation(kind, name, session);
    });
    return new ManyReplies(replies);
  };
}

function unsubscribing(kind: "unsubscribe" | "punsubscribe"): Handler {
  return (call, { session, services: { pubSub } }) => {
    const own = kind === "unsubscribe" ? session.channels : session.patterns;
    const names = call.args.length > 1 ? call.args.slice(1).map(channelText) : [...own];
    if (names.length === 0) return confirmation(kind, null, session);
    const replies = names.map((name) => {
      if (kind === "unsubscribe") pubSub.unsubscribe(session, name);
      else pubSub.unsubscribePattern(session, name);
      return confirmation(kind, name, session);
    });
    return new ManyReplies(replies);
  };
}

const publish: Handler = (call, { services }) => {
  const channel = call.args[1]!;
  checkPattern(channel);
  return services.pubSub.publish(channel, call.args[2]!);
};

const pubsub: Handler = (call, context) => {
  const subcommand = call.word(1).toLowerCase();
  if (subcommand === "numpat") return context.services.pubSub.patternCount;
  if (subcommand === "channels") return channels(call, context);
  if (subcommand === "numsub") {
    return call.args
      .slice(2)
      .flatMap((name) => [name, context.services.pubSub.subscribersOf(channelText(name))]);
  }
  if (subcommand === "help")
    return [
      "PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
      "CHANNELS [<pattern>]",
      "NUMPAT",
      "NUMSUB [<channel> ...]",
    ];
  throw unknownSubcommand(call);
};

function channels(call: Call, { services }: Context): Reply {
  const pattern = call.args[2] ?? Buffer.from("*");
  checkPattern(pattern);
  const matches = globOf(channelText(pattern));
  const list = new ReplyList();
  for (const channel of services.pubSub.channels()) if (matches(channel)) list.add(channelBytes(channel));
  return list.items;
}

/** By name. */
export const PUB_SUB_COMMANDS: Readonly<Record<string, Handler>> = {
  subscribe: subscribing("subscribe"),
  psubscribe: subscribing("psubscribe"),
  unsubscribe: unsubscribing("unsubscribe"),
  punsubscribe: unsubscribing("punsubscribe"),
  publish,
  pubsub,
};
