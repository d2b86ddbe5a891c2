import { silent } from "@aerodb/runtime";
import { expect, test, vi } from "vitest";
import { FakeHost } from "./drivers/fake-host.ts";
import { HostState } from "./host-state.ts";
import { HostReconciler } from "./reconciler.ts";
import { sampleInstance } from "./sample-desired.ts";
import { ServerEnds } from "./server-ends.ts";

test("a server that was ended is said to be, though its instance was looked at meanwhile", async () => {
  const host = new FakeHost({ room: 9 });
  const state = new HostState();
  const ends = new ServerEnds(() => 1n);
  const reconciler = new HostReconciler({
    ...{ state, driver: host, tenants: host, ends, logger: silent },
    vacant: async () => undefined,
    changed: () => undefined,
    signal: new AbortController().signal,
  });
  const { spec, ...rest } = sampleInstance();
  const subject = { kind: "instance", id: spec.id } as const;
  state.desire({ instances: [{ spec, ...rest }], tenants: [] });
  await reconciler.adopt(await host.list());
  reconciler.look(subject, { now: true });
  await reconciler.idle();
  const running = state.seen(spec.id)?.running ?? expect.fail("it runs");

  const stop = host.stop.bind(host);
  vi.spyOn(host, "stop").mockImplementation(async (id) => {
    reconciler.look(subject, { now: true });
    await reconciler.idle();
    await stop(id);
  });
  await reconciler.end(running, "It answered nobody.");
  await expect
    .poll(() => ends.last(spec.id))
    .toMatchObject({
      ...{ hung: true, reason: "It answered nobody." },
    });
  await expect.poll(() => state.seen(spec.id)?.running?.pid).not.toBe(running.pid);
});
