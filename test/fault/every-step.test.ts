/**
 * Kills control and the agent at each step of creating and deleting that their source names, one
 * step of each a round, and looks at what is left.
 */
import { describe, expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import type { Tenant } from "../platform-client.ts";
import { expectAnswersStand, type Heard } from "./crowd.ts";
import { failpointsOf } from "./failpoints.ts";
import { killOrders } from "./kill-orders.ts";
import { expectNothingHalf } from "./leftovers.ts";

/**
 * What comes, goes, and gets another password; what changes a tenant is in every-change.test.ts,
 * and what refuses it service in every-suspension.test.ts.
 */
const CONTROL = failpointsOf("control").filter((name) =>
  /^control\.(observed|create|delete|rotate)\./.test(name),
);
/**
 * What is killed at a step of the container driver is killed in test/contract/driver, and at one of
 * a volume, which not every machine can make, or of a change of a running server, beside the code.
 */
const AGENT = failpointsOf("agent").filter(
  (name) =>
    /^agent\.(instance|tenant|ledger|report)\./.test(name) &&
    !/\.(resize|configured|limited|reloaded|noted|resized|suspend|suspended)$/.test(name),
);
const ROUNDS = Array.from({ length: Math.max(CONTROL.length, AGENT.length) }, (_, at) => {
  const control = CONTROL[at];
  const agent = AGENT[at];
  const steps = [control, agent].filter((name) => name !== undefined);
  return { round: `round-${at}`, control, agent, title: steps.join(" and ") };
});

const orders = killOrders();
const platform = usePlatform({ environment: orders.environment });

/**
 * A tenant of each isolation comes; it goes while another of each comes, which gets a new password
 * and stays.
 * Each phase begins when the one before has come to rest, however it was answered.
 */
async function comeAndGo(round: string): Promise<Heard[]> {
  const [gone, stays] = [`${round}-gone`, `${round}-stays`];
  return [
    ...(await phase([create(gone, "free"), create(gone, "pro")])),
    ...(await phase([
      ...[remove(gone, "free"), remove(gone, "pro")],
      ...[create(stays, "free"), create(stays, "pro")],
    ])),
    ...(await phase([rotate(stays, "free"), rotate(stays, "pro")])),
  ];
}

async function phase(asked: readonly Promise<Heard>[]): Promise<Heard[]> {
  const heard = await Promise.all(asked);
  await platform().ready();
  await platform().atRest();
  return heard;
}

function create(name: string, plan: string): Promise<Heard> {
  return hear("create", "POST", "/v1/tenants", { name: `${name}-${plan}`, plan });
}

function remove(name: string, plan: string): Promise<Heard> {
  return hear("delete", "DELETE", `/v1/tenants/${name}-${plan}`);
}

function rotate(name: string, plan: string): Promise<Heard> {
  return hear("rotate", "POST", `/v1/tenants/${name}-${plan}/credentials:rotate`);
}

async function hear(
  verb: Heard["verb"],
  method: string,
  path: string,
  body?: { readonly name: string; readonly plan: string },
): Promise<Heard> {
  const name = body?.name ?? path.split("/")[3] ?? "";
  const answer = await platform()
    .request<Tenant>(method, path, body)
    .catch(() => undefined);
  return { verb, name, answer };
}

/** The latest answer about a name is the one that counts. */
function latest(heard: readonly Heard[]): Heard[] {
  return [...new Map(heard.map((each) => [each.name, each])).values()];
}

async function deleteAll(): Promise<void> {
  const tenants = await platform().tenants();
  await Promise.all(
    tenants.map((tenant) => platform().request("DELETE", `/v1/tenants/${tenant.tenant_id}`)),
  );
}

describe("killed once at each step", () => {
  test.for(ROUNDS)("$title: every answer stands, nothing is half", async (step) => {
    platform().output = "";
    orders.give(step);
    const heard = await comeAndGo(step.round);
    await platform().settled();
    await expectAnswersStand(platform(), latest(heard));
    await expectNothingHalf(platform());
    await deleteAll();
    await orders.carriedOut(platform());
    await platform().ready();
    await platform().atRest();
    await expectNothingHalf(platform());
  });
});

test("every failpoint of the source was reached", () => {
  expect([...orders.fired].toSorted()).toEqual([...CONTROL, ...AGENT].toSorted());
});
