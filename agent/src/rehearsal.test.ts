import { newId } from "@aerodb/runtime";
import { expect, test } from "vitest";
import { FakeHost } from "./drivers/fake-host.ts";
import { rehearse } from "./rehearsal.ts";
import { sampleTenant } from "./sample-desired.ts";
import { sampleSpec } from "./sample-spec.ts";

test("a rehearsal leaves nothing behind, not even of one that did not end, and drops nobody", async () => {
  const host = new FakeHost({ room: 1 });
  const spec = sampleSpec();
  await host.make(spec);
  const running = await host.start(spec);
  const tenant = { ...sampleTenant(spec.id), dedicated: true };
  const suspended = { ...tenant, tenantId: newId("ten"), suspended: true };
  await host.ensure(running, tenant);
  await host.suspend(running, suspended);
  await host.suspend(running, { ...tenant, tenantId: newId("ten"), connectionLimit: 0 });

  await rehearse(host, running);
  const left = (await host.list(running)).map(({ tenantId }) => tenantId);
  expect(new Set(left)).toEqual(new Set([tenant.tenantId, suspended.tenantId]));
});
