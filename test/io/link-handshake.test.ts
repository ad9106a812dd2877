import { describe, expect, test } from "vitest";
import { AcceptorHandshake, DialerHandshake, type HandshakeStep } from "../../src/io/link-handshake.ts";
import { CLIENT, NODE, OTHER_NODE } from "./link-fixture.ts";

/** The frame of a step that has one. */
function frameOf(step: HandshakeStep): Uint8Array {
  if (step.frame === undefined) throw new Error(`no frame: ${JSON.stringify(step)}`);
  return step.frame;
}

/** A conversation up to the dialer's proof. */
function begin(secrets: { readonly dialer: string; readonly acceptor: string }) {
  const dialer = new DialerHandshake(OTHER_NODE, "peer", secrets.dialer);
  const acceptor = new AcceptorHandshake(NODE, "peer", secrets.acceptor);
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
    const renamed = new AcceptorHandshake(NODE, "peer", "sesame");
    renamed.receive(new DialerHandshake({ ...OTHER_NODE, id: "n9" }, "peer", "sesame").hello);
    const dialer = new DialerHandshake(OTHER_NODE, "gossip", "sesame");
    const elsewhere = new AcceptorHandshake(NODE, "peer", "sesame");
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
    const open = new AcceptorHandshake(NODE, "client", undefined);
    const unsecured = new DialerHandshake(CLIENT, "client", undefined);
    const ready = frameOf(open.receive(unsecured.hello));

    expect(new DialerHandshake(CLIENT, "client", "sesame").receive(ready)).toMatchObject({
      kind: "refused",
      code: "ERR_UNAUTHORIZED",
    });
  });

  test("tells a dialer of the wrong cluster so only after the proof", () => {
    const dialer = new DialerHandshake({ ...OTHER_NODE, clusterName: "other" }, "peer", "sesame");
    const acceptor = new AcceptorHandshake(NODE, "peer", "sesame");

    const challenge = acceptor.receive(dialer.hello);
    const refused = acceptor.receive(frameOf(dialer.receive(frameOf(challenge))));

    expect(challenge.kind).toBe("send");
    expect(refused).toMatchObject({ kind: "refused", code: "ERR_PROTOCOL" });
    expect(dialer.receive(frameOf(refused))).toMatchObject({
      kind: "refused",
      reason: expect.stringMatching(/"test" at node n1 .*"other" at node n2/),
    });
  });

  test("ends without a word for a proof or a second hello out of turn", () => {
    const { acceptor, dialer, proof } = begin(SAME);
    const fresh = new AcceptorHandshake(NODE, "peer", "sesame");

    expect(acceptor.receive(dialer.hello)).toMatchObject({ kind: "refused", frame: undefined });
    expect(fresh.receive(proof)).toMatchObject({ kind: "refused", frame: undefined });
  });
});

describe("the handshake without a secret", () => {
  test("takes one round trip", () => {
    const dialer = new DialerHandshake(CLIENT, "client", undefined);
    const acceptor = new AcceptorHandshake(NODE, "client", undefined);

    const accepted = acceptor.receive(dialer.hello);

    expect(accepted).toMatchObject({ kind: "done", remote: { clientId: 77, protocol: 1 } });
    expect(dialer.receive(frameOf(accepted))).toMatchObject({ kind: "done", remote: { id: "n1" } });
  });

  test("answers no challenge", () => {
    const dialer = new DialerHandshake(CLIENT, "client", undefined);

    expect(dialer.receive(begin(SAME).challenge)).toMatchObject({ kind: "refused", code: "ERR_PROTOCOL" });
  });
});
