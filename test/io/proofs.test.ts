import { performance } from "node:perf_hooks";
import { describe, expect, test } from "vitest";
import { welchT } from "../../bench/welch.ts";
import {
  deriveUserKey,
  isNodeOfUser,
  PROOF_BYTES,
  proveNode,
  proveSecrets,
  proveUser,
  SECRETS_MAX,
  secretsLike,
  secretsProved,
  type User,
  userKeyOf,
  userKeyProved,
} from "../../src/io/proofs.ts";

const INPUT = Uint8Array.from({ length: 600 }, (_, index) => index % 251);
const GRANTS = { classes: ["read"], prefixes: [""] } as const;
const ADA: User = { name: "ada", keys: [deriveUserKey("ada", "secret of ada")], grants: GRANTS };

describe("proveSecrets and secretsProved", () => {
  test("find all secrets that both sides have, in the order of the side that checks", () => {
    const proof = proveSecrets(["b", "a", "x"], INPUT);

    expect(secretsProved(["a", "b", "c"], INPUT, proof)).toEqual(["a", "b"]);
  });

  test.each([
    ["another conversation", proveSecrets(["a"], INPUT.slice(1))],
    ["nothing", new Uint8Array(0)],
    ["half a proof", proveSecrets(["a"], INPUT).slice(0, 16)],
    ["a proof and a byte", Buffer.concat([proveSecrets(["a"], INPUT), Uint8Array.of(0)])],
    ["more proofs than there may be", new Uint8Array(PROOF_BYTES * (SECRETS_MAX + 1))],
  ])("take %s for no proof", (_name, proof) => {
    expect(secretsProved(["a"], INPUT, proof)).toEqual([]);
  });
});

describe("proveUser and userKeyProved", () => {
  test("prove the user to the node, and the node to the user", () => {
    const key = userKeyProved(ADA, INPUT, proveUser("ada", ["secret of ada"], INPUT));

    expect(key).toBe(ADA.keys[0]);
    expect(isNodeOfUser("ada", ["secret of ada"], INPUT, proveNode(key!, INPUT))).toBe(true);
    expect(isNodeOfUser("ada", ["secret of bob"], INPUT, proveNode(key!, INPUT))).toBe(false);
  });

  test("make no proof out of what a node keeps", () => {
    const [key] = ADA.keys;
    for (const stolen of [key!.stored, key!.server])
      expect(userKeyProved(ADA, INPUT, proveUser("ada", [stolen], INPUT))).toBeUndefined();
    // The stored key in the place of the client's.
    expect(userKeyProved(ADA, INPUT, key!.stored)).toBeUndefined();
  });

  test("bind the secret to the name", () => {
    const bob: User = { ...ADA, name: "bob", keys: ADA.keys };

    expect(userKeyProved(bob, INPUT, proveUser("bob", ["secret of ada"], INPUT))).toBeUndefined();
  });

  test("deny everything to a user that does not exist", () => {
    expect(userKeyProved(undefined, INPUT, proveUser("ada", ["secret of ada"], INPUT))).toBeUndefined();
    expect(userKeyOf(undefined, "ada", Buffer.from("secret of ada"))).toBeUndefined();
    expect(userKeyOf(ADA, "ada", Buffer.from("secret of ada"))).toBe(ADA.keys[0]);
  });
});

describe("The time of a refusal", () => {
  const TRIES = 20_000;
  /** Above it, two sets of times differ with a probability of error below one in 100,000. */
  const T_MAX = 4.5;

  /** Times of two kinds of tries, mixed so that whatever else the machine does meets both. */
  function timesOf(kinds: readonly [() => unknown, () => unknown]): readonly [number[], number[]] {
    const times: [number[], number[]] = [[], []];
    for (let index = 0; index < 2 * TRIES; index++) {
      const kind = (index * 7 + (index >> 3)) & 1;
      const start = performance.now();
      kinds[kind]!();
      times[kind]!.push(performance.now() - start);
    }
    return times;
  }

  /** Noise of the machine hits sometimes: what is real is there each time. */
  function smallestT(kinds: readonly [() => unknown, () => unknown]): number {
    let smallest = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 4 && smallest >= T_MAX; round++)
      smallest = Math.min(smallest, Math.abs(welchT(...timesOf(kinds))));
    return smallest;
  }

  const spoiled = (bytes: Uint8Array, index: number) =>
    bytes.map((byte, at) => (at === index ? byte ^ 1 : byte));

  test("tells neither which byte was wrong nor whether the user exists", () => {
    const right = proveUser("ada", ["secret of ada"], INPUT);
    const [first, last] = [spoiled(right, 0), spoiled(right, right.length - 1)];
    const cluster = proveSecrets(["a"], INPUT);
    const [firstOfCluster, lastOfCluster] = [spoiled(cluster, 0), spoiled(cluster, PROOF_BYTES - 1)];
    const users = new Map([["ada", ADA]]);
    const [near, far] = [Buffer.from("secret of adb"), Buffer.from("xecret of ada")];

    expect({
      byteOfUsersProof: smallestT([
        () => userKeyProved(ADA, INPUT, first),
        () => userKeyProved(ADA, INPUT, last),
      ]),
      byteOfProof: smallestT([
        () => secretsProved(["a"], INPUT, firstOfCluster),
        () => secretsProved(["a"], INPUT, lastOfCluster),
      ]),
      user: smallestT([
        () => userKeyProved(users.get("ada"), INPUT, first),
        () => userKeyProved(users.get("bob"), INPUT, first),
      ]),
      password: smallestT([
        () => secretsLike(["secret of ada"], near),
        () => secretsLike(["secret of ada"], far),
      ]),
      userOfPassword: smallestT([
        () => userKeyOf(users.get("ada"), "ada", near),
        () => userKeyOf(users.get("bob"), "bob", near),
      ]),
    }).toEqual({
      byteOfUsersProof: expect.toSatisfy((t: number) => t < T_MAX),
      byteOfProof: expect.toSatisfy((t: number) => t < T_MAX),
      user: expect.toSatisfy((t: number) => t < T_MAX),
      password: expect.toSatisfy((t: number) => t < T_MAX),
      userOfPassword: expect.toSatisfy((t: number) => t < T_MAX),
    });
  });

  test("would be told by a comparison that stops at the first difference", () => {
    const secret = Buffer.alloc(4096, 7);
    const leaky = (guess: Uint8Array) => secret.every((byte, index) => byte === guess[index]);
    const [first, last] = [spoiled(secret, 0), spoiled(secret, 4095)];

    expect(Math.abs(welchT(...timesOf([() => leaky(first), () => leaky(last)])))).toBeGreaterThan(T_MAX);
  });
});
