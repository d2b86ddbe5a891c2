import { expect, test } from "vitest";
import { activityOf, type Connection } from "./gateway.ts";

function connection(over: Partial<Connection>): Connection {
  return {
    ...{ tenant: "acme", port: "session", address: "127.0.0.1", application: "", encrypted: true },
    ...{ state: "idle", instanceId: "ins_1", openedInMs: 1, openForMs: 1_000 },
    ...{ ingressBytes: 0, egressBytes: 0, transactions: 0 },
    ...over,
  };
}

test("what tenants did in between is added up by port, the busiest first", () => {
  const before = [connection({ transactions: 5, egressBytes: 100 })];
  const now = [
    connection({ transactions: 7, egressBytes: 150 }),
    connection({ transactions: 1, state: "active" }),
    connection({ tenant: "globex", port: "pooled", transactions: 40 }),
  ];
  expect(activityOf(before, now)).toMatchObject([
    { tenant: "globex", port: "pooled", connections: 1, active: 0, transactions: 40 },
    { tenant: "acme", port: "session", connections: 2, active: 1, transactions: 3 },
  ]);
});

test("a connection that ended takes its counts along, and nothing is less than none", () => {
  const [activity] = activityOf([connection({ transactions: 50 })], [connection({})]);
  expect(activity?.transactions).toBe(0);
});
