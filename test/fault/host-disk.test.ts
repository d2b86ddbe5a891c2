/** While a host's disk is nearly full its tenants read and make room, and nothing falls over. */
import { rmSync, statfsSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { lacks, throwawayFileSystem } from "../../agent/src/storage/throwaway-file-system.ts";
import { usePlatform } from "../platform.ts";
import { queryOnce, type Tenant } from "../platform-client.ts";
import { until } from "../until.ts";
import { createDedicated } from "./bystander.ts";

const MIB = 1_024 * 1_024;
/** Less than the reserve of the disk that the test makes. */
const LEFT_MIB = 60;
const READ_ONLY = "25006";
const CANCELLED = "57014";

const missing = await lacks("xfs");
const disk = missing === undefined ? await throwawayFileSystem("xfs") : undefined;

afterAll(() => disk?.remove());

/** Takes all of the disk but so much, at once; gives it back when called. */
async function fill(directory: string, leftMiB = LEFT_MIB, name = "most"): Promise<() => void> {
  const path = join(directory, name);
  const { bavail, bsize } = statfsSync(directory);
  const file = await open(path, "w");
  const chunk = Buffer.alloc(16 * MIB, 1);
  for (let left = bavail * bsize - leftMiB * MIB; left > 0; left -= chunk.length) {
    await file.write(chunk, 0, Math.min(left, chunk.length));
  }
  await file.close();
  return () => rmSync(path);
}

describe.skipIf(missing !== undefined)(`on a disk of its own (${missing ?? "xfs"})`, () => {
  const platform = usePlatform({ home: join(disk?.directory ?? "", "home") });

  async function reasonOf({ tenant_id }: Tenant): Promise<string> {
    return (await platform().request("GET", `/v1/tenants/${tenant_id}`)).body.status_reason;
  }

  /** Rights come back a moment after the reason is gone. */
  async function untilItWorks({ connection }: Tenant, statement: string): Promise<void> {
    await until(statement, () =>
      queryOnce(connection.uri, statement).then(
        () => true,
        () => false,
      ),
    );
  }

  test("writes stop before the disk is full, and come back with the room", async () => {
    const [schema, database] = [
      await platform().createTenant({ name: "in-schema" }),
      await platform().createTenant({ name: "in-database", plan: "pro" }),
    ];
    const all = [schema, database];
    const insert = "insert into kept select generate_series(1, 10)";
    for (const { connection } of all) {
      await queryOnce(connection.uri, "create table kept (n int)");
      await queryOnce(connection.uri, insert);
    }
    const writer = await platform().connect(database.connection.uri);
    await writer.query("begin; insert into kept values (11)");
    const writing = writer.query("select pg_sleep(60)");
    const ended = expect(writing).rejects.toMatchObject({ code: CANCELLED });

    const makeRoom = await fill(disk?.directory ?? "");
    await ended;
    for (const tenant of all) {
      const { uri } = tenant.connection;
      await until("a reason", async () => /^Read-only: the disk/.test(await reasonOf(tenant)));
      await expect(queryOnce(uri, insert)).rejects.toMatchObject({ code: READ_ONLY });
      expect(await queryOnce(uri, "select count(*)::int as n from kept")).toEqual([{ n: 10 }]);
      await queryOnce(uri, "begin read write; delete from kept where n > 5; commit");
    }

    makeRoom();
    for (const tenant of all) {
      await until("the reason to be gone", async () => (await reasonOf(tenant)) === "");
      await untilItWorks(tenant, insert);
    }
    await platform().settled();
    const { events } = (await platform().request("GET", "/v1/events?kind=host.")).body;
    const kinds = events.map(({ kind }: { readonly kind: string }) => kind);
    const ofDisk = kinds.filter((kind: string) => kind.startsWith("host.disk_"));
    expect(ofDisk).toEqual(["host.disk_freed", "host.disk_full"]);
  });

  test("who reads and who ignores the advice end no server; who is down says why", async () => {
    const { tenant, instanceId } = await createDedicated(platform(), "reader");
    const { uri } = tenant.connection;
    const server = () => platform().pieces().instances.get(instanceId);
    const before = server();
    // Not in the WAL yet, for a table of the same transaction: but reading it marks each row.
    const rows = "select i, repeat('x', 500) as t from generate_series(1, 600000) i";
    await queryOnce(uri, `create table large as ${rows}`);
    const makeRoom = await fill(disk?.directory ?? "", 200);
    await until("a reason", async () => /^Read-only: the disk/.test(await reasonOf(tenant)));
    expect(await queryOnce(uri, "select count(*)::int as n from large")).toEqual([{ n: 600_000 }]);
    const greedy = "begin read write; insert into large select * from large; commit";
    await until("a refusal", () =>
      queryOnce(uri, greedy).then(
        () => false,
        (error: Error) => error.message.includes("used up"),
      ),
    );
    expect(server(), "the same server").toBe(before);
    const log = await platform().cli(["logs", "reader", "--lines", "500"]);
    expect(log.stdout).not.toMatch(/PANIC|FATAL/);

    const takeRest = await fill(disk?.directory ?? "", 20, "rest");
    process.kill(before ?? 0, "SIGKILL");
    await until("a reason", async () => /MiB to start: remove what/.test(await reasonOf(tenant)));
    takeRest();
    makeRoom();
    await untilItWorks(tenant, "insert into large values (0, '')");
    await platform().settled();
  });
});
