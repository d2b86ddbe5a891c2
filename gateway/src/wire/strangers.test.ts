import { expect, test } from "vitest";
import { Strangers } from "./strangers.ts";

let ended: number[] = [];

function enter(strangers: Strangers<number>, address: string, ...connections: readonly number[]) {
  ended = [];
  return connections.map((connection) =>
    strangers.enter(address, connection, () => ended.push(connection)),
  );
}

test("as long as there is room nobody is ended", () => {
  const strangers = new Strangers<number>(3);
  enter(strangers, "a", 1, 2);
  expect(strangers.makeRoom("a")).toBe(true);
  expect([strangers.size, ended]).toEqual([2, []]);
});

test("who comes takes the place of the oldest of the address that has most", () => {
  const strangers = new Strangers<number>(5);
  enter(strangers, "a", 1, 2);
  enter(strangers, "b", 3, 4, 5);
  expect(strangers.makeRoom("c")).toBe(true);
  expect([strangers.size, ended]).toEqual([4, [3]]);
  strangers.enter("c", 6, () => ended.push(6));
  expect(strangers.makeRoom("c")).toBe(true);
  expect([strangers.size, ended]).toEqual([4, [3, 1]]);
});

test("who has most itself is refused, and makes nobody else go", () => {
  const strangers = new Strangers<number>(3);
  enter(strangers, "a", 1, 2);
  enter(strangers, "b", 3);
  expect(strangers.makeRoom("a")).toBe(false);
  expect([strangers.size, ended]).toEqual([3, []]);
});

test("who was ended, or is known by now, leaves its place once", () => {
  const strangers = new Strangers<number>(2);
  const [first, second] = enter(strangers, "a", 1, 2);
  expect(strangers.makeRoom("b")).toBe(true);
  first?.();
  expect(strangers.size).toBe(1);
  second?.();
  second?.();
  expect(strangers.size).toBe(0);
});

test("all are ended when the port closes", () => {
  const strangers = new Strangers<number>(5);
  enter(strangers, "a", 1, 2);
  strangers.enter("b", 3, () => ended.push(3));
  strangers.endAll();
  expect(ended).toEqual([1, 2, 3]);
});
