// Who is evicted must really be out of touch, and who evicts must be with the majority. Judged by an onlooker who knows what
// has been done to every host.

import type { MemberId } from "../../../src/base/ids.ts";
import type { NodeProcess } from "../node-process.ts";
import { Violation } from "../violation.ts";
import type { World } from "../world.ts";

/** After a cut begins or ends, what members believe may be old for so long: suspicion, refutation and redialling take seconds. */
const SLACK_MS = 12_000;
/** Long enough to notice that a majority does not answer. */
const NOTICE_MS = 2_000;

/** `node` says that it evicts `member`. */
export function checkEviction(world: World, node: NodeProcess, member: MemberId): void {
  const victim = world.nodes.get(member);
  const graceMs = node.options?.membership.deadGraceMs ?? 0;
  if (victim !== undefined && isWell(world, victim, graceMs + SLACK_MS)) {
    throw new Violation("no healthy node evicted", `${node.id} evicts ${member}`, world.queue.count);
  }
  const ring = world.rings.get(node.ringId)?.members.map(({ id }) => world.nodes.get(id)) ?? [];
  const inTouch = ring.filter(
    (each) =>
      each !== undefined &&
      (each === node || (each.isRunning && world.network.isConnected(node.id, each.id))),
  );
  const isMinority = inTouch.length * 2 <= ring.length;
  const cutForMs = world.nowMs - (world.lastCutMs.get(node.id) ?? Number.NEGATIVE_INFINITY);
  if (isMinority && cutForMs > NOTICE_MS) {
    throw new Violation("a minority evicts nobody", `${node.id} evicts ${member}`, world.queue.count);
  }
}

/** Up and undisturbed for as long as that. */
function isWell(world: World, node: NodeProcess, forMs: number): boolean {
  const sinceMs = world.nowMs - forMs;
  const { startedAtMs, lastFaultMs, isRunning, isResponsive } = node;
  const lastCutMs = world.lastCutMs.get(node.id) ?? Number.NEGATIVE_INFINITY;
  const isQuiet = startedAtMs < sinceMs && lastFaultMs < sinceMs && lastCutMs < sinceMs;
  return isRunning && isResponsive && isQuiet && !world.network.isDisturbed(node.id);
}
