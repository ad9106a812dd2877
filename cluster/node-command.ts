// Telling a node to leave, or to evict a member that is gone for good. Operators' commands travel on the client path; the public
// client does not offer them, because no application has any business removing nodes.

import type { CommandReply, Failure } from "../src/core/messages.ts";
import { dialLink, type LocalIdentity, type TlsOptions } from "../src/io/link.ts";

/** What to tell, and what proves that one may. */
export interface NodeCommand {
  readonly command: "leave" | "evict";
  /** The member to evict; for `leave` the node itself. */
  readonly member: string;
  /** One, or several of which the node knows at least one. */
  readonly secret?: string | readonly string[] | undefined;
  /** Whose secret it is. @default "", the cluster's */
  readonly user?: string | undefined;
  readonly tls?: TlsOptions | undefined;
  /** @default 5000 ms for connection and answer each */
  readonly timeoutMs?: number;
}

const IDENTITY: LocalIdentity = {
  role: "client",
  clusterName: "",
  genesisId: "",
  id: "",
  generation: 0,
  address: "",
  clientId: 1,
  replicas: 0,
};

/**
 * Resolves once the node has taken the command. Leaving itself takes as long as handing over the slots does.
 *
 * @param address `host:port` of a node
 * @throws {Error} when the node cannot be reached, refuses, or does not answer
 */
export async function sendCommand(address: string, command: NodeCommand): Promise<void> {
  const timeoutMs = command.timeoutMs ?? 5000;
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
    identity: { ...IDENTITY, clientId: randomClientId() },
    secret: command.secret,
    user: command.user,
    tls: command.tls,
    timeoutMs,
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
    link.send({ kind: "command", id: 1, command: command.command, member: command.member });
    const answer = await answered;
    if (answer.kind === "failed")
      throw new Error(`${address} refused \`${command.command}\`: ${answer.message}`);
  } finally {
    clearTimeout(timer);
    link.close();
  }
}

/** Not 0, and most likely nobody else's. */
function randomClientId(): number {
  return 1 + Math.floor(Math.random() * (Number.MAX_SAFE_INTEGER - 1));
}
