// Telling a node to leave, to evict a member that is gone for good, or to take another place in the ring. Operators' commands travel on
// the client path; the public client does not offer them, because no application has any business removing nodes.

import type { ClientRequest, CommandReply, Failure } from "../src/core/messages.ts";
import { clientIdentity, dialLink, type TlsOptions } from "../src/io/link.ts";

/** What to tell: `member` is whom to evict, and for `leave` the node itself; what is `undefined` of a place stays as it is. */
export type NodeCommand =
  | { readonly command: "leave" | "evict"; readonly member: string }
  | { readonly command: "place"; readonly zone: string | undefined; readonly weight: number | undefined };

/** What proves that one may, and how long it may take. */
export interface NodeCommandOptions {
  /** One, or several of which the node knows at least one. */
  readonly secret?: string | readonly string[] | undefined;
  /** Whose secret it is. @default "", the cluster's */
  readonly user?: string | undefined;
  readonly tls?: TlsOptions | undefined;
  /** @default 5000 ms for connection and answer each */
  readonly timeoutMs?: number;
}

/**
 * Resolves once the node has taken the command. Leaving itself takes as long as handing over the slots does.
 *
 * @param address `host:port` of a node
 * @throws {Error} when the node cannot be reached, refuses, or does not answer
 */
export async function sendCommand(
  address: string,
  { secret, user, tls, timeoutMs = 5000, ...command }: NodeCommand & NodeCommandOptions,
): Promise<void> {
  let resolve: (answer: CommandReply | Failure) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const answered = new Promise<CommandReply | Failure>((onAnswer, onError) => {
    resolve = onAnswer;
    reject = onError;
  });
  // The connection may close before anybody waits for the answer.
  answered.catch(() => {});
  const link = await dialLink({
    address,
    path: "client",
    identity: clientIdentity({ clientId: randomClientId() }),
    ...{ secret, user, tls, timeoutMs },
    onLink: () => ({
      onMessages: (messages) => {
        const answer = messages.find((message) => message.kind === "commanded" || message.kind === "failed");
        if (answer !== undefined) resolve(answer as CommandReply | Failure);
      },
      onClose: (reason) => reject(new Error(`${address} closed the connection: ${reason}`)),
    }),
  });
  const timer = setTimeout(
    () => reject(new Error(`${address} did not answer \`${command.command}\` within ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    link.send(requestOf(command));
    const answer = await answered;
    if (answer.kind === "failed")
      throw new Error(`${address} refused \`${command.command}\`: ${answer.message}`);
  } finally {
    clearTimeout(timer);
    link.close();
  }
}

function requestOf(command: NodeCommand): ClientRequest {
  if (command.command !== "place") return { kind: "command", id: 1, ...command };
  return { kind: "place", id: 1, zone: command.zone, weight: command.weight };
}

/** Not 0, and most likely nobody else's. */
function randomClientId(): number {
  return 1 + Math.floor(Math.random() * (Number.MAX_SAFE_INTEGER - 1));
}
