import { describe, expect, test } from "vitest";
import { AcceptorHandshake, DialerHandshake, type HandshakeStep } from "../../src/io/link-handshake.ts";
import { deriveUserKey, fingerprint, type User } from "../../src/io/proofs.ts";
import { CLIENT, NODE, OTHER_NODE } from "./link-fixture.ts";

/** The frame of a step that has one. */
function frameOf(step: HandshakeStep): Uint8Array {
  if (step.frame === undefined) throw new Error(`no frame: ${JSON.stringify(step)}`);
  return step.frame;
}

/** A conversation up to the dialer's proof. */
function begin(secrets: { readonly dialer: string; readonly acceptor: string }) {
  const dialer = new DialerHandshake(OTHER_NODE, "peer", { secret: secrets.dialer });
  const acceptor = new AcceptorHandshake(NODE, "peer", { secret: secrets.acceptor });
  const challenge = frameOf(acceptor.receive(dialer.hello));
  const proof = frameOf(dialer.receive(challenge));
  return { dialer, acceptor, challenge, proof };
}

const SAME = { dialer: "sesame", acceptor: "sesame" };

describe("the handshake with a secret", () => {
  test("ends with both sides knowing each other", () => {
    const { dialer, acceptor, proof } = begin(SAME);

    const accepted = acceptor.receive(proof);
    const ready = dialer.receive(frameOf(accepted));

    expect(accepted).toMatchObject({ kind: "done", remote: { id: "n2" } });
    expect(ready).toMatchObject({ kind: "done", remote: { id: "n1" } });
  });

  test("ends in the same refusal for every proof that is wrong", () => {
    const refusals = [
      (proof: Uint8Array) => proof.map((byte, index) => (index === proof.length - 1 ? byte ^ 1 : byte)),
      (proof: Uint8Array) => proof.map((byte, index) => (index === proof.length - 32 ? byte ^ 1 : byte)),
      () => begin(SAME).proof,
      () => begin({ dialer: "other", acceptor: "sesame" }).proof,
    ].map((forge) => {
      const { acceptor, proof } = begin(SAME);
      return acceptor.receive(forge(proof));
    });

    for (const refusal of refusals) expect(refusal).toEqual(refusals[0]);
    expect(refusals[0]).toMatchObject({
      kind: "refused",
      code: "ERR_UNAUTHORIZED",
      reason: "The secrets of the two sides differ",
    });
  });

  test("accepts no proof that was made under another name or for another path", () => {
    const { proof } = begin(SAME);
    const renamed = new AcceptorHandshake(NODE, "peer", { secret: "sesame" });
    renamed.receive(new DialerHandshake({ ...OTHER_NODE, id: "n9" }, "peer", { secret: "sesame" }).hello);
    const dialer = new DialerHandshake(OTHER_NODE, "gossip", { secret: "sesame" });
    const elsewhere = new AcceptorHandshake(NODE, "peer", { secret: "sesame" });
    const crossed = dialer.receive(frameOf(elsewhere.receive(dialer.hello)));

    expect(renamed.receive(proof)).toMatchObject({ kind: "refused", code: "ERR_UNAUTHORIZED" });
    expect(elsewhere.receive(frameOf(crossed))).toMatchObject({ kind: "refused", code: "ERR_UNAUTHORIZED" });
  });

  test("accepts no answer of an acceptor that knows another secret or changed what it said", () => {
    const { dialer, acceptor, proof } = begin(SAME);
    const ready = frameOf(acceptor.receive(proof));
    const forged = new Uint8Array(ready);
    // The id within the welcome.
    const index = Buffer.from(forged).indexOf("n1");
    forged[index + 1] = "7".charCodeAt(0);

    expect(dialer.receive(forged)).toMatchObject({ kind: "refused", code: "ERR_UNAUTHORIZED" });
    expect(begin(SAME).dialer.receive(ready)).toMatchObject({ kind: "refused", code: "ERR_UNAUTHORIZED" });
  });

  test("is not skipped by an acceptor that has none, nor by one that leaves the challenge out", () => {
    const open = new AcceptorHandshake(NODE, "client");
    const unsecured = new DialerHandshake(CLIENT, "client");
    const ready = frameOf(open.receive(unsecured.hello));

    expect(new DialerHandshake(CLIENT, "client", { secret: "sesame" }).receive(ready)).toMatchObject({
      kind: "refused",
      code: "ERR_UNAUTHORIZED",
    });
  });

  test("tells a dialer of the wrong cluster so only after the proof", () => {
    const dialer = new DialerHandshake({ ...OTHER_NODE, clusterName: "other" }, "peer", { secret: "sesame" });
    const acceptor = new AcceptorHandshake(NODE, "peer", { secret: "sesame" });

    const challenge = acceptor.receive(dialer.hello);
    const refused = acceptor.receive(frameOf(dialer.receive(frameOf(challenge))));

    expect(challenge.kind).toBe("send");
    expect(refused).toMatchObject({
      kind: "refused",
      code: "ERR_PROTOCOL",
      reason: expect.stringMatching(/"test" at node n1 .*"other" at node n2/),
    });
    expect(dialer.receive(frameOf(refused))).toMatchObject({
      kind: "refused",
      reason: 'It belongs to another cluster than that of the name "other"',
    });
    // Neither its name nor its id, address or genesis.
    for (const word of ["test", "n1", "7401", "genesis-1"])
      expect(Buffer.from(frameOf(refused)).includes(word)).toBe(false);
  });

  test("ends without a word for a proof or a second hello out of turn", () => {
    const { acceptor, dialer, proof } = begin(SAME);
    const fresh = new AcceptorHandshake(NODE, "peer", { secret: "sesame" });

    expect(acceptor.receive(dialer.hello)).toMatchObject({ kind: "refused", frame: undefined });
    expect(fresh.receive(proof)).toMatchObject({ kind: "refused", frame: undefined });
  });
});

describe("the handshake without a secret", () => {
  test("takes one round trip", () => {
    const dialer = new DialerHandshake(CLIENT, "client");
    const acceptor = new AcceptorHandshake(NODE, "client");

    const accepted = acceptor.receive(dialer.hello);

    expect(accepted).toMatchObject({ kind: "done", remote: { clientId: 77, protocol: 1 } });
    expect(dialer.receive(frameOf(accepted))).toMatchObject({ kind: "done", remote: { id: "n1" } });
  });

  test("answers no challenge", () => {
    const dialer = new DialerHandshake(CLIENT, "client");

    expect(dialer.receive(begin(SAME).challenge)).toMatchObject({ kind: "refused", code: "ERR_PROTOCOL" });
  });
});

describe("the handshake with several secrets", () => {
  const meet = (dialerSecrets: readonly string[], acceptorSecrets: readonly string[]) => {
    const dialer = new DialerHandshake(OTHER_NODE, "peer", { secret: dialerSecrets });
    const acceptor = new AcceptorHandshake(NODE, "peer", { secret: acceptorSecrets });
    const accepted = acceptor.receive(frameOf(dialer.receive(frameOf(acceptor.receive(dialer.hello)))));
    return { accepted, ready: accepted.frame === undefined ? accepted : dialer.receive(accepted.frame) };
  };

  test.each([
    [["old"], ["old"]],
    [["old"], ["old", "new"]],
    [
      ["old", "new"],
      ["new", "old"],
    ],
    [["new", "old"], ["old"]],
    [["new", "old"], ["new"]],
    [
      ["a", "b", "c", "new"],
      ["new", "d"],
    ],
  ])("stands between %j and %j, which have one in common", (dialerSecrets, acceptorSecrets) => {
    const { accepted, ready } = meet(dialerSecrets, acceptorSecrets);

    expect([accepted.kind, ready.kind]).toEqual(["done", "done"]);
  });

  test("refuses sides that have none in common", () => {
    expect(meet(["old"], ["new"]).accepted).toMatchObject({ kind: "refused", code: "ERR_UNAUTHORIZED" });
    expect(meet(["a", "b"], ["c", "d"]).accepted).toMatchObject({
      kind: "refused",
      code: "ERR_UNAUTHORIZED",
    });
  });

  test("tells each side which of its secrets the other proved", () => {
    const { accepted, ready } = meet(["old", "new"], ["new", "other"]);

    const provedBy = [fingerprint("new")];
    expect(accepted).toMatchObject({ remote: { access: { user: "", grants: undefined, provedBy } } });
    expect(ready).toMatchObject({ remote: { access: { provedBy } } });
  });
});

describe("the handshake of a user", () => {
  const GRANTS = { classes: ["read", "write"], prefixes: ["api:"] } as const;
  const USER: User = { name: "api", keys: [deriveUserKey("api", "hers")], grants: GRANTS };
  const findUser = (name: string) => (name === "api" ? USER : undefined);

  function meet(user: string, secret: string | readonly string[], path: "client" | "peer" = "client") {
    const dialer = new DialerHandshake(path === "client" ? CLIENT : OTHER_NODE, path, { user, secret });
    const acceptor = new AcceptorHandshake(NODE, path, { secret: "sesame", findUser });
    const accepted = acceptor.receive(frameOf(dialer.receive(frameOf(acceptor.receive(dialer.hello)))));
    return {
      accepted,
      dialer,
      ready: accepted.frame === undefined ? accepted : dialer.receive(accepted.frame),
    };
  }

  test("binds the user and its grants to the link, and tells the user what they are", () => {
    const { accepted, ready } = meet("api", "hers");

    expect(accepted).toMatchObject({ kind: "done", remote: { access: { user: "api", grants: GRANTS } } });
    expect(ready).toMatchObject({
      kind: "done",
      remote: { id: "n1", access: { user: "api", grants: GRANTS } },
    });
  });

  test("takes any of the user's secrets", () => {
    expect(meet("api", ["next", "hers"]).ready.kind).toBe("done");
  });

  test("refuses a wrong secret, an unknown user, the cluster's secret and another user's alike", () => {
    const refusals = [
      meet("api", "his"),
      meet("nobody", "hers"),
      meet("api", "sesame"),
      meet("nobody", "sesame"),
    ];

    for (const { accepted } of refusals) expect(accepted).toEqual(refusals[0]!.accepted);
    expect(refusals[0]!.accepted).toMatchObject({
      kind: "refused",
      code: "ERR_UNAUTHORIZED",
      reason: "The user or its secret is not right",
    });
  });

  test("is not that of a node, even with the right secret", () => {
    expect(meet("api", "hers", "peer").accepted).toMatchObject({ kind: "refused", code: "ERR_UNAUTHORIZED" });
  });

  test("accepts no node that does not know the user", () => {
    const { dialer } = meet("api", "hers");
    const impostor = new AcceptorHandshake(NODE, "client", { secret: "sesame", findUser });
    const other = new DialerHandshake(CLIENT, "client", { user: "api", secret: "hers" });
    const ready = impostor.receive(frameOf(other.receive(frameOf(impostor.receive(other.hello)))));

    // An answer of another conversation.
    expect(dialer.receive(frameOf(ready))).toMatchObject({ kind: "refused", code: "ERR_UNAUTHORIZED" });
  });
});

describe("the handshake under TLS", () => {
  test("accepts no proof that was made for another connection", () => {
    const dialer = new DialerHandshake(OTHER_NODE, "peer", { secret: "sesame" });
    dialer.bind(Uint8Array.of(1));
    const acceptor = new AcceptorHandshake(NODE, "peer", { secret: "sesame", binding: Uint8Array.of(2) });

    const answer = acceptor.receive(frameOf(dialer.receive(frameOf(acceptor.receive(dialer.hello)))));

    expect(answer).toMatchObject({ kind: "refused", code: "ERR_UNAUTHORIZED" });
  });
});
