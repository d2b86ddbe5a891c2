/** A tenant over its storage quota, as its clients see it. */
import type pg from "pg";
import { beforeAll, describe, expect, test } from "vitest";
import { openInstanceOf } from "../inside-instances.ts";
import { usePlatform } from "../platform.ts";
import { connect, queryOnce, type Tenant } from "../platform-client.ts";
import { until } from "../until.ts";
import { outcome, setQuotas, writingBecomes } from "./tenant-writes.ts";

const platform = usePlatform();
const WRITERS = 100;
const MIB = 1_048_576;

async function setRefused(tenant: Tenant, refused: boolean): Promise<void> {
  const overrides = refused ? [{ resource: "storage_bytes", quota: "0" }] : [];
  await setQuotas(platform(), tenant, { overrides });
}

/** Writes over a session of its own until it is refused. */
async function writeUntilRefused({ connection }: Tenant, text: string): Promise<void> {
  for (;;) {
    const client = await connect(connection.pooled_uri);
    try {
      for (;;) await client.query(text);
    } catch (error) {
      if ((error as pg.DatabaseError).code === "53100") return;
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}

describe.each(["schema", "database"])("a %s tenant", (isolation) => {
  let tenant: Tenant;
  beforeAll(async () => {
    const name = `full-${isolation}`;
    tenant = await platform().createTenant({ name, plan: "pro", isolation });
    expect(await outcome(tenant, "create table kept (n int)")).toBe("done");
  });

  test("is refused writes, may read and free room, and writes again", async () => {
    await setRefused(tenant, true);
    await writingBecomes(tenant, "53100");
    const { body } = await platform().request("GET", `/v1/tenants/${tenant.name}`);
    expect(body.status).toBe("active");
    expect(body.status_reason).toMatch(/^Writes are refused: its storage quota is used up/);
    for (const text of ["select * from kept", "delete from kept", "truncate kept", "vacuum kept"]) {
      expect([text, await outcome(tenant, text)]).toEqual([text, "done"]);
    }
    expect(await outcome(tenant, "create table more (n int)")).toBe("53100");
    await setRefused(tenant, false);
    await writingBecomes(tenant, "done");
    expect(await outcome(tenant, "create table more (n int)")).toBe("done");
  });

  test("stays refused when its agent is killed, and what somebody gave back is taken", async () => {
    await setRefused(tenant, true);
    await writingBecomes(tenant, "53100");
    const { root } = await openInstanceOf(platform(), tenant);
    const name = `"${tenant.tenant_id}"`;
    platform().kill("agents");
    expect(await outcome(tenant, "insert into kept values (1)")).toBe("53100");
    await root.query(`grant create on schema ${name} to ${name}`);
    await writingBecomes(tenant, "53100");
    platform().kill("agents");
    await setRefused(tenant, false);
    await writingBecomes(tenant, "done");
    await platform().settled();
  });
});

test("what a hundred writers store after it was said is bounded", async () => {
  const tenant = await platform().createTenant({ name: "crowd", plan: "pro" });
  await queryOnce(tenant.connection.uri, "create table kept (n int, x text)");
  const { root } = await openInstanceOf(platform(), tenant);
  const size = async () => {
    const text = "select pg_total_relation_size($1::regclass)::float8 as bytes";
    return (await root.query(text, [`"${tenant.tenant_id}".kept`])).rows[0].bytes as number;
  };
  const write = "insert into kept select i, repeat('x', 1000) from generate_series(1, 10) i";
  const writers = Array.from({ length: WRITERS }, () => writeUntilRefused(tenant, write));
  await until("something to be written", async () => (await size()) > MIB);
  const before = await size();
  await setRefused(tenant, true);
  await Promise.all(writers);
  const after = await size();
  process.stdout.write(`${WRITERS} writers: ${(after - before) / MIB} MiB after it was decided\n`);
  expect(after - before).toBeLessThan(64 * MIB);
  expect(await outcome(tenant, write)).toBe("53100");
  expect(await size()).toBe(after);
}, 120_000);
