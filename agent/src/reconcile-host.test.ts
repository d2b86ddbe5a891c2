import type { ListedTenant } from "@aerodb/postgres";
import { expect, test } from "vitest";
import type { DesiredInstance, DesiredTenant } from "./desired.ts";
import type { RunningInstance } from "./drivers/driver.ts";
import { appliedAtStart } from "./instance-spec.ts";
import { nextSteps, type SeenInstance } from "./reconcile-host.ts";
import { sampleInstance, sampleTenant } from "./sample-desired.ts";

const instance = sampleInstance();
const goneInstance = { ...instance, present: false };
const tenant = sampleTenant(instance.spec.id);
const suspended = { ...tenant, suspended: true };
const goneTenant = { ...tenant, present: false };

const running: RunningInstance = {
  id: instance.spec.id,
  pid: 1,
  walls: [],
  socketDirectory: "/s",
  engine: "18.4",
  systemIdentifier: 1n,
  exited: new Promise(() => undefined),
};
const listed: ListedTenant = {
  tenantId: tenant.tenantId,
  role: true,
  schema: true,
  granted: true,
  lacks: [],
  canLogin: true,
  sessions: 3,
  verifier: tenant.verifier,
  connectionLimit: tenant.connectionLimit,
  writesRefused: false,
  earlierWriters: 0,
  settings: [],
  extensions: [],
};

const applied = appliedAtStart(instance.spec);
const stopped: SeenInstance = { running: undefined, tenants: undefined };
const unlisted: SeenInstance = { running, tenants: undefined, applied };
const empty: SeenInstance = { running, tenants: new Map(), applied };
const holding: SeenInstance = { ...empty, tenants: new Map([[tenant.tenantId, listed]]) };
const unknown: SeenInstance = { ...holding, applied: undefined };
const larger = { ...instance, spec: { ...instance.spec, memoryMiB: 512 } };
const chosen = { ...instance, spec: { ...instance.spec, settings: { work_mem: "16MB" } } };
const restarted = { ...instance, spec: { ...instance.spec, restartGeneration: 7n } };
const sooner = { ...instance, spec: { ...instance.spec, importance: 9 } };

const BARRED = { canLogin: false, sessions: 0 };

function drifted(change: Partial<ListedTenant>): SeenInstance {
  return { ...empty, tenants: new Map([[tenant.tenantId, { ...listed, ...change }]]) };
}

type Row = readonly [
  why: string,
  desired: DesiredInstance | undefined,
  tenant: DesiredTenant | undefined,
  seen: SeenInstance | undefined,
  steps: readonly string[],
];

const table: readonly Row[] = [
  ["a new instance is made", instance, undefined, undefined, ["make_instance"]],
  ["one that has served is not made anew", { ...instance, kept: true }, undefined, undefined, []],
  ["one that is down is started", instance, undefined, stopped, ["start_instance"]],
  ["what it holds is listed once", instance, undefined, unlisted, ["list_tenants"]],
  ["one that serves is left alone", instance, undefined, empty, []],
  ["a larger one is brought to it while it runs", larger, tenant, holding, ["resize_instance"]],
  ["other settings are brought to it while it runs", chosen, tenant, holding, ["resize_instance"]],
  [
    "what nobody knows of a server is applied once more",
    instance,
    tenant,
    unknown,
    ["resize_instance"],
  ],
  ["what is in there comes before its size", larger, undefined, unlisted, ["list_tenants"]],
  ["another importance changes nothing of a server", sooner, tenant, holding, []],
  ["one that is to be restarted is stopped", restarted, tenant, holding, ["stop_instance"]],
  ["even before it was listed", restarted, undefined, unlisted, ["stop_instance"]],
  ["and is started as any that is down", restarted, tenant, stopped, ["start_instance"]],
  [
    "one that was started for it is left alone",
    restarted,
    tenant,
    { ...holding, applied: appliedAtStart(restarted.spec) },
    [],
  ],
  [
    "one that should go is not restarted first",
    { ...restarted, present: false },
    undefined,
    holding,
    ["stop_instance"],
  ],
  [
    "a missing extension is installed",
    instance,
    { ...tenant, extensions: ["citext"] },
    holding,
    ["ensure_tenant"],
  ],
  [
    "one that is there already is left alone",
    instance,
    { ...tenant, extensions: ["citext"] },
    drifted({ extensions: ["citext", "hstore"] }),
    [],
  ],
  ["one that should go is stopped first", goneInstance, undefined, empty, ["stop_instance"]],
  ["and destroyed then", goneInstance, undefined, stopped, ["destroy_instance"]],
  ["one that is gone needs nothing", goneInstance, undefined, undefined, []],
  ["one that nobody lists is left alone", undefined, undefined, holding, []],
  ["a tenant waits for its instance to be made", instance, tenant, undefined, ["make_instance"]],
  ["a tenant waits for its instance to run", instance, tenant, stopped, ["start_instance"]],
  ["a tenant waits for the list", instance, tenant, unlisted, ["list_tenants"]],
  ["a new tenant is made", instance, tenant, empty, ["ensure_tenant"]],
  ["one that is as desired is left alone", instance, tenant, holding, []],
  ["another password is repaired", instance, tenant, drifted({ verifier: "x" }), ["ensure_tenant"]],
  [
    "a lifted limit is repaired",
    instance,
    tenant,
    drifted({ connectionLimit: -1 }),
    ["ensure_tenant"],
  ],
  ["a closed login is repaired", instance, tenant, drifted({ canLogin: false }), ["ensure_tenant"]],
  ["a missing schema is repaired", instance, tenant, drifted({ schema: false }), ["ensure_tenant"]],
  ["a suspended one is barred", instance, suspended, holding, ["suspend_tenant"]],
  ["a suspended one that is not there is made so", instance, suspended, empty, ["suspend_tenant"]],
  ["one that is barred is left alone", instance, suspended, drifted(BARRED), []],
  [
    "a session of a barred one is ended",
    instance,
    suspended,
    drifted({ ...BARRED, sessions: 1 }),
    ["suspend_tenant"],
  ],
  ["one that is reinstated may log in", instance, tenant, drifted(BARRED), ["ensure_tenant"]],
  ["a tenant that should go is dropped", instance, goneTenant, holding, ["drop_tenant"]],
  [
    "what is left of it is dropped",
    instance,
    goneTenant,
    drifted({ role: false }),
    ["drop_tenant"],
  ],
  ["one that is gone needs nothing", instance, goneTenant, empty, []],
  ["an instance takes its tenants along", goneInstance, goneTenant, holding, ["stop_instance"]],
  ["a tenant of an unlisted instance is left alone", undefined, goneTenant, holding, []],
];

test.each(table)("%s", (_why, desired, desiredTenant, seen, steps) => {
  const taken = nextSteps(
    {
      instances: desired === undefined ? [] : [desired],
      tenants: desiredTenant === undefined ? [] : [desiredTenant],
    },
    new Map(seen === undefined ? [] : [[instance.spec.id, seen]]),
  );
  expect(taken.map(({ kind }) => kind)).toEqual(steps);
});
