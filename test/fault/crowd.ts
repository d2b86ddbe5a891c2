/**
 * A crowd of callers that create and delete tenants at once, and what each of them was told. What
 * was answered must stand, whatever is broken meanwhile.
 */
import { expect } from "vitest";
import type { Platform } from "../platform.ts";
import { type Answer, queryOnce, type Tenant } from "../platform-client.ts";
import { until } from "../until.ts";

/** What one caller asked for and heard; no answer when the connection broke. */
export interface Heard {
  readonly verb: "create" | "delete" | "rotate";
  readonly name: string;
  readonly answer: Answer<Tenant> | undefined;
}

export interface CrowdSize {
  readonly creates: number;
  readonly deletes: number;
  /** Of each, how many are about a database tenant; the others have a schema. */
  readonly ofDatabases: number;
}

export interface Crowd {
  /** Resolves once this many callers have heard an answer. */
  readonly answered: (count: number) => Promise<void>;
  /** Resolves when every caller has heard or lost the connection. */
  readonly done: Promise<readonly Heard[]>;
}

/** Makes the tenants that the crowd is going to delete. */
export async function prepare(platform: Platform, round: string, size: CrowdSize): Promise<void> {
  const names = Array.from({ length: size.deletes }, (_, at) => `${round}-old-${at}`);
  await Promise.all(names.map((name, at) => platform.createTenant({ name, ...kindOf(at, size) })));
}

/** Sets the crowd off: all of it at once. */
export function release(platform: Platform, round: string, size: CrowdSize): Crowd {
  let count = 0;
  async function ask(verb: Heard["verb"], name: string, asking: Promise<Answer<Tenant>>) {
    const answer = await asking.catch(() => undefined);
    count += 1;
    return { verb, name, answer };
  }
  const creates = Array.from({ length: size.creates }, (_, at) => {
    const name = `${round}-new-${at}`;
    const body = { name, ...kindOf(at, size) };
    return ask("create", name, platform.request<Tenant>("POST", "/v1/tenants", body));
  });
  const deletes = Array.from({ length: size.deletes }, (_, at) => {
    const name = `${round}-old-${at}`;
    return ask("delete", name, platform.request<Tenant>("DELETE", `/v1/tenants/${name}`));
  });
  return {
    answered: async (wanted) => {
      await until(`${wanted} answers`, () => count >= wanted, 30_000);
    },
    done: Promise.all([...creates, ...deletes]),
  };
}

/**
 * What every caller may rely on once all has settled: a tenant that was answered 201 is there and
 * its URI connects, one that was answered as deleted is gone, and of what was not answered, there
 * is nothing half: the tenant works or is not there.
 */
export async function expectAnswersStand(
  platform: Platform,
  heard: readonly Heard[],
): Promise<void> {
  const listed = new Map((await platform.tenants()).map((tenant) => [tenant.name, tenant]));
  for (const { verb, name, answer } of heard) {
    const shown = verb === "delete" ? undefined : passwordIn(answer);
    if (shown !== undefined) {
      expect(listed.get(name), `${name}, answered as active`).toMatchObject({ status: "active" });
      await expectServes(name, shown);
    }
    if (verb === "delete" && answer?.status === 200) {
      expect(listed.has(name), `${name}, answered as deleted, to be gone`).toBe(false);
    }
    const tenant = listed.get(name);
    if (tenant === undefined) continue;
    expect(tenant.status, name).toBe("active");
    if (shown === undefined) await expectRotates(platform, tenant);
  }
}

/** The URI with the password, where the caller was given one. */
function passwordIn(answer: Answer<Tenant> | undefined): string | undefined {
  return answer !== undefined && answer.status < 300 ? answer.body.connection.uri : undefined;
}

async function expectServes(name: string, uri: string): Promise<void> {
  const rows = await queryOnce(uri, "create table if not exists t (n int); select 1").catch(
    (error) => error,
  );
  expect(rows, `the connection of ${name}, answered as active`).not.toBeInstanceOf(Error);
}

/** Nobody heard this tenant's password: with a new one it must work like any other. */
async function expectRotates(platform: Platform, tenant: Tenant): Promise<void> {
  const path = `/v1/tenants/${tenant.tenant_id}/credentials:rotate`;
  const { status, body } = await platform.request<Tenant>("POST", path);
  expect(status, `rotating ${tenant.name}`).toBe(200);
  await expectServes(tenant.name, body.connection.uri);
}

function kindOf(at: number, { ofDatabases }: CrowdSize) {
  return at < ofDatabases ? { plan: "pro" } : { plan: "free" };
}
