// Seeds that once broke a promise, with the cause in one line. They are run for ever: a change of the core reshuffles what
// happens in them, but they cost little, and they say what kinds of bad luck have mattered.

export interface Regression {
  readonly scenario: string;
  readonly seed: number;
  readonly cause: string;
}

export const REGRESSIONS: readonly Regression[] = [
  {
    scenario: "behind",
    seed: 7103,
    cause:
      "a replica that was emptied and filled again vouched that it did not know a write: a repeat applied it twice",
  },
  {
    scenario: "behind",
    seed: 7207,
    cause:
      "a write that began before the process that it was repeated at was taken for younger than that process",
  },
  {
    scenario: "behind",
    seed: 7241,
    cause: "the clock offset of a process that was replaced without a word was used for the next one",
  },
  {
    scenario: "dense",
    seed: 11,
    cause:
      "a write that a read had completed was told to the newcomers of a rehearsal without the name of its ring",
  },
  {
    scenario: "dense",
    seed: 7239,
    cause: "a reader completed a first attempt after a majority had told the repeat that nobody knows it",
  },
  {
    scenario: "pause",
    seed: 7225,
    cause:
      "an increment was built on a version that another write had left on one replica, and that write was repeated",
  },
  {
    scenario: "swarm",
    seed: 8037,
    cause: "a node that had just been cut off evicted two that were well, and both threw away what they held",
  },
  {
    scenario: "pressure",
    seed: 40,
    cause:
      "a delete found nothing on a majority that had evicted the value, and an older one came back from the third replica",
  },
  {
    scenario: "pressure",
    seed: 10,
    cause:
      "two replicas evicted the newest value and took back the one before from the third, which had missed it",
  },
  {
    scenario: "swarm",
    seed: 106,
    cause:
      "a node whose clock was set back while it was cut off stored versions an hour ahead, which all others refused for good",
  },
  {
    scenario: "swarm",
    seed: 1032,
    cause:
      "a write that was completed by reading was told to the newcomers of a ring change without a ring id, which breaks the link",
  },
  {
    scenario: "swarm",
    seed: 1915,
    cause:
      "a write without an answer reached one replica, and its hints named the version before it: two replicas differed, and nobody asked",
  },
  {
    scenario: "ring-changes",
    seed: 3368,
    cause:
      "two replicas that a change of the ring had just made vouched that nobody knew a write, which was then applied twice",
  },
  {
    scenario: "ring-changes",
    seed: 154,
    cause:
      "a second attempt left its version on one replica and completed the first one's older version, and both lived",
  },
  {
    scenario: "swarm",
    seed: 3598,
    cause:
      "a first attempt that came too late was stored by a replica that had just gained the slot, and its repair did not wait for that one",
  },
  {
    scenario: "swarm",
    seed: 30001,
    cause:
      "a write that was completed by reading left no hint for the replica that had refused it: the copies never agreed",
  },
  {
    scenario: "clearing",
    seed: 2,
    cause:
      "a clear was given a version by a clock behind the one of a write acknowledged before it, which survived",
  },
  {
    scenario: "clearing",
    seed: 32001,
    cause: "a first attempt at a clear was given its version after its caller had repeated it and moved on",
  },
  {
    scenario: "forgetful",
    seed: 30044,
    cause:
      "a replica that a change of the ring had made, and one that had missed it, vouched that nobody knew a write; the answer of the third was lost",
  },
  {
    scenario: "dense",
    seed: 20059,
    cause:
      "a first issue of a delete was completed and shown by a reader while its coordinator asked who knows it, and was then issued anew",
  },
  {
    scenario: "dense",
    seed: 30214,
    cause:
      "the first replica counted on from an old value under a new ring while two others acknowledged under the ring before; a hint then put its newer version over theirs",
  },
  {
    scenario: "swarm",
    seed: 70012,
    cause:
      "a walk over all keys asked one replica of each slot, and that one had missed an acknowledged write",
  },
  {
    scenario: "ring-changes",
    seed: 72043,
    cause: "a walk over all keys believed a first replica that was cut off from those who acknowledged",
  },
  {
    scenario: "ring-changes",
    seed: 41671,
    cause:
      "a reader that had met a dead version spread the next one as if it were a write of its own; the fence refused that, and the reader took it for dead as well",
  },
  {
    scenario: "swarm",
    seed: 50148,
    cause:
      "a conditional write that all replicas had refused was told to the newcomers of a rehearsal when its answer was no",
  },
  {
    scenario: "swarm",
    seed: 102165,
    cause:
      "a process that had just started with a wrong clock gave times to live by it until the next round of upkeep",
  },
  {
    scenario: "ring-changes",
    seed: 110275,
    cause:
      "a member that had left while it was cut off waited for members that it suspected, and asked none of them whether they had taken over",
  },
  {
    scenario: "swarm",
    seed: 200110,
    cause:
      "a member left while another stood still, and took along the hints that it kept for it; that one went by its own copy",
  },
  {
    scenario: "swarm",
    seed: 401628,
    cause:
      "a first replica built an increment on another node's that was there only; a repeat of that one, which two others did not know, was applied on top",
  },
  {
    scenario: "swarm",
    seed: 630259,
    cause:
      "a process that had just started with its clock hours ahead took in what expires, forgot it by its own time, and others believed its floor",
  },
  {
    scenario: "swarm",
    seed: 653192,
    cause:
      "a process started with a wrong clock that was set right before it was compared; for the second after that jump it went on with the wrong time",
  },
  {
    scenario: "swarm",
    seed: 684810,
    cause:
      "a node whose clock jumped stood still and was cut off; by what it had measured before the jump it took the hour for the cluster's time",
  },
  {
    scenario: "swarm",
    seed: 711095,
    cause:
      "a write was handed on to a node whose clock was not known yet, without its last instant; that one stood still, and did it when the caller had long given up",
  },
  {
    scenario: "swarm",
    seed: 728275,
    cause:
      "a dead attempt hid what an earlier one had left and a later one had completed; a reader wrote that again as the earlier one's, which all refused",
  },
  {
    scenario: "swarm",
    seed: 728987,
    cause:
      "an increment that had waited for answers decided under the next ring, among newcomers who did not know that another attempt of it had been made",
  },
  {
    scenario: "swarm",
    seed: 801429,
    cause:
      "a delete found a value that had just expired by its node's clock, and wrote nothing; by another's the value had some moments to live, and was read",
  },
  {
    scenario: "ring-changes",
    seed: 942379,
    cause:
      "a replica called a version stored over which a copy had laid that of another attempt; the write was acknowledged with a single holder, and a read found nothing",
  },
];
