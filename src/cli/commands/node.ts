// `ringhold node`: one node in the foreground. Prints one line on stdout when it is ready, logs on stderr. SIGTERM and SIGINT stop it so
// that it can come back under its id; with --leave-on-stop it hands its slots over first; a second signal forces the end.

import { Command, Option } from "commander";
import { UsageError } from "../failure.ts";
import { type SharedNodeFlags, withSharedNodeFlags } from "../node-options.ts";
import { address, addressList, integer, option, redisAddress } from "../options.ts";

/** What commander makes of the flags. */
export interface NodeFlags extends SharedNodeFlags {
  readonly name?: string;
  readonly listen?: string;
  readonly advertise?: string;
  readonly join?: readonly string[];
  readonly bootstrap?: boolean;
  readonly cluster?: string;
  readonly zone?: string;
  readonly weight?: number;
  readonly secretFile?: string;
  readonly usersFile?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly redis?: string;
  readonly redisCluster?: boolean;
  readonly leaveOnStop?: boolean;
  readonly json?: boolean;
  readonly ownerPid?: number;
}

/** See the top of the file. */
export function nodeCommand(): Command {
  const command = new Command("node")
    .description("run one node in the foreground")
    .addOption(option("--name <id>", "its id, kept over restarts (default node-<random>)"))
    .addOption(
      option("--listen <host:port>", "where it listens (default 127.0.0.1:7400)", { parse: address }),
    )
    .addOption(
      option("--advertise <host:port>", "where others reach it (default as --listen)", { parse: address }),
    )
    .addOption(
      option("--join <addresses>", "nodes of the cluster to join: HOST:PORT,HOST:PORT", {
        parse: addressList,
      }),
    )
    .addOption(option("--bootstrap", "found a cluster even if --join is given"))
    .addOption(option("--cluster <name>", "the cluster's name (default ringhold)"))
    .addOption(option("--zone <name>", "failure domain, such as the machine's name"))
    .addOption(
      option("--weight <number>", "share of the ring against other nodes, 1 to 64 (default 1)", {
        parse: integer(1, 64),
      }),
    )
    .addOption(option("--redis <host:port>", "let Redis clients in there", { parse: redisAddress }))
    .addOption(option("--redis-cluster", "show Redis clients the cluster's nodes, instead of one server"))
    .addOption(option("--secret-file <file>", "file with the cluster's secret (or RINGHOLD_SECRET)"))
    .addOption(
      option("--users-file <file>", "file with users and what they may do (`ringhold user` edits it)"),
    )
    .addOption(option("--tls-cert <file>", "certificate of this node"))
    .addOption(option("--tls-key <file>", "its private key"))
    .addOption(option("--tls-ca <file>", "authority that signed the nodes' certificates"))
    .addOption(option("--leave-on-stop", "hand the slots over for good when stopped"));
  withSharedNodeFlags(command)
    .addOption(option("--json", "print the ready line as JSON"))
    // For local clusters: end when that process does.
    .addOption(new Option("--owner-pid <pid>").argParser(integer(1, 2 ** 31)).hideHelp())
    .action(async (flags: NodeFlags) => {
      checkTls(flags);
      const { runNode } = await import("../run-node.ts");
      await runNode(flags);
    });
  return command;
}

function checkTls({ tlsCert, tlsKey, tlsCa }: NodeFlags): void {
  const given = [tlsCert, tlsKey, tlsCa].filter((file) => file !== undefined);
  if (given.length === 0 || given.length === 3) return;
  throw new UsageError("--tls-cert, --tls-key and --tls-ca go together: give all or none");
}
