import type { Logger } from "@aerodb/runtime";
import { expect, test } from "vitest";
import { ConnectionTraffic } from "./connection-traffic.ts";
import { type ConnectionFacts, Connections } from "./connections.ts";
import type { Relay } from "./relay.ts";

const facts = { tenant: "acme", port: "session" } as ConnectionFacts;

/** What the log says of a connection that ended. */
async function lineOf(endedBecause: string | undefined): Promise<Record<string, unknown>> {
  const { promise, resolve } = Promise.withResolvers<Record<string, unknown>>();
  const connections = new Connections({ info: resolve } as unknown as Logger);
  const traffic = new ConnectionTraffic({ opened() {}, closed() {} } as never);
  const relay = { ended: Promise.resolve(), idle: true, resting: true, traffic, endedBecause };
  connections.add(facts, relay as unknown as Relay);
  expect(connections.list()).toMatchObject([{ tenant: "acme", state: "idle" }]);
  const line = await promise;
  expect(connections.list()).toEqual([]);
  return line;
}

test("a connection that ends is a line in the log, with the reason where we ended it", async () => {
  expect(await lineOf("it was idle")).toMatchObject({ tenant: "acme", because: "it was idle" });
  expect(await lineOf(undefined)).not.toHaveProperty("because");
});

test("a connection that ends is listed as what it was until its server is gone", () => {
  const connections = new Connections({} as Logger);
  const traffic = new ConnectionTraffic({ opened() {}, closed() {} } as never);
  const relay = { ended: new Promise(() => undefined), idle: true, resting: false, traffic };
  connections.add(facts, { ...relay, endedAs: "idle" } as unknown as Relay);
  expect(connections.list()).toMatchObject([{ state: "idle" }]);
});
