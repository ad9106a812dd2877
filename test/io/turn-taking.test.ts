import { describe, expect, test } from "vitest";
import { TurnTaking } from "../../src/io/turn-taking.ts";

const LARGE = 1024 * 1024;
const turn = () => new Promise(setImmediate);

describe("TurnTaking", () => {
  test("lets one go on with a large answer in each turn, first come, first served", async () => {
    const turns = new TurnTaking();
    const order: string[] = [];
    const stepOf = (name: string) => () => {
      order.push(name);
      return LARGE;
    };

    for (const name of ["a", "b", "c"]) turns.next(stepOf(name));
    const seen = [order.length];
    for (let count = 0; count < 3; count++) {
      await turn();
      seen.push(order.length);
    }

    expect(seen).toEqual([0, 1, 2, 3]);
    expect(order).toEqual(["a", "b", "c"]);
  });

  test("lets all go on whose answers are small", async () => {
    const turns = new TurnTaking();
    let steps = 0;

    for (let index = 0; index < 50; index++)
      turns.next(() => {
        steps++;
        return 100;
      });
    await turn();

    expect(steps).toBe(50);
  });

  test("puts who asks again behind the others", async () => {
    const turns = new TurnTaking();
    const order: string[] = [];
    const greedy = () => {
      order.push("greedy");
      turns.next(greedy);
      return LARGE;
    };
    const modest = () => order.push("modest");

    turns.next(greedy);
    turns.next(modest);
    for (let count = 0; count < 3; count++) await turn();
    turns.leave(greedy);

    expect(order.slice(0, 3)).toEqual(["greedy", "modest", "greedy"]);
  });

  test("takes no step that has left, and bounds those of one turn that make nothing", async () => {
    const turns = new TurnTaking();
    let steps = 0;
    const idle = () => {
      steps++;
      turns.next(idle);
      return 0;
    };
    const gone = () => {
      throw new Error("It has left");
    };

    turns.next(gone);
    turns.leave(gone);
    turns.next(idle);
    await turn();
    turns.leave(idle);
    await turn();

    expect(steps).toBe(64);
  });
});
