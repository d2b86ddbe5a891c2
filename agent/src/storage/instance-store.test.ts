import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rename, rm, stat, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { type InstanceId, messageOf } from "@aerodb/model";
import { monotonicMs } from "@aerodb/runtime";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { sampleSpec } from "../sample-spec.ts";
import { mountsUnder } from "./mounts.ts";
import { storeCases, type ThrowawayStore, throwawayStore } from "./throwaway-store.ts";
import { MIB } from "./volume.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const run = promisify(execFile);
/** A step at a time: no path of more than 4096 bytes is taken. */
const DEEPEN = `for (const name of Array(40).fill("d".repeat(200))) {
  require("node:fs").mkdirSync(name);
  process.chdir(name);
}`;
const NO_ROOM = /could not (extend|write) .*(No space left on device|Disk quota exceeded)/;

describe.each(await storeCases())("instances on $on", ({ on, means, lack }) => {
  const itself = test.skipIf(lack);
  let at: ThrowawayStore;
  beforeAll(async () => {
    if (lack === undefined) at = await throwawayStore({ on, means, lack });
  });
  afterAll(() => at?.remove());
  afterEach(async () => {
    if (lack !== undefined) return;
    await at.destroyAll();
    await at.expectNothingLeft();
  });

  itself("serve, keep their data over a restart, and know their size", async () => {
    const spec = await at.made();
    const client = await at.start(spec);
    await client.query("create table public.t as select generate_series(1, 1000) as i");
    const bytes = await at.store.storageBytes(spec.id);
    expect(bytes).toBeGreaterThan(1_000_000n);
    const fill = await at.store.fill(spec.id);
    expect(fill.limitBytes).toBe(0n);
    expect(fill.usedBytes).toBeGreaterThan(1_000_000n);
    expect(await at.store.walls(spec.id)).toEqual([]);
    await at.stop(spec.id);
    const again = await at.start(spec);
    expect((await again.query("select count(*)::int from public.t")).rows).toEqual([
      { count: 1000 },
    ]);
  });

  itself("are nobody's twins, made ahead or not", async () => {
    const specs = [await at.made()];
    await at.store.prepareNext(sampleSpec());
    await expect.poll(() => at.spares(), { timeout: 20_000 }).toHaveLength(1);
    specs.push(await at.made(), await at.made());
    expect(await at.spares()).toEqual([]);
    const identifiers = new Set<string>();
    for (const spec of specs) {
      const client = await at.start(spec);
      const { rows } = await client.query("select system_identifier from pg_control_system()");
      identifiers.add(rows[0].system_identifier);
    }
    expect(identifiers.size).toBe(3);
  });

  itself("are not slowed down by what is made ahead: that waits for a quiet moment", async () => {
    await at.store.prepareNext(sampleSpec());
    const end = monotonicMs() + 800;
    while (monotonicMs() < end) await at.made({ storageMiB: 60 });
    const begun = await readdir(join(at.home, "spares"));
    expect(begun.filter((name) => !name.includes("seed"))).toEqual([]);
    await expect.poll(() => at.spares(), { timeout: 20_000 }).toHaveLength(1);
  });

  itself(
    "that are full refuse to write, and do everything else; neighbours notice nothing",
    async (ctx) => {
      if (at.noLimit !== undefined) return ctx.skip(at.noLimit);
      const spec = await at.made({ storageMiB: 60 });
      const neighbour = await at.made();
      expect(await at.store.walls(spec.id)).toEqual([`storage:${means}`]);
      const client = await at.start(spec);
      const other = await at.start(neighbour);
      for (const table of ["kept", "filled"]) {
        await client.query(`create table public.${table} (i int, t text)`);
        await client.query(`alter table public.${table} alter t set storage external`);
      }
      await client.query("insert into public.kept select i, 'x' from generate_series(1, 100) i");
      await client.query("checkpoint");
      expect(await fillUp(client, "filled")).toMatch(NO_ROOM);
      const { usedBytes, limitBytes, freeBytes } = await at.store.fill(spec.id);
      expect(limitBytes).toBe(60n * BigInt(MIB));
      expect(usedBytes).toBeGreaterThan(50n * BigInt(MIB));
      expect(freeBytes).toBeLessThan(8n * BigInt(MIB));

      if (means === "btrfs") expect(await at.store.releaseBallast(spec.id)).toBeGreaterThan(0);
      await client.query("checkpoint");
      expect((await client.query("select count(*)::int from public.kept")).rows).toEqual([
        { count: 100 },
      ]);
      await client.query("update public.kept set t = 'y'");
      await client.query("delete from public.filled where i < 500");
      await at.stop(spec.id);
      const again = await at.start(spec);
      expect(await at.store.releaseBallast(spec.id)).toBeGreaterThanOrEqual(0);
      await again.query("truncate public.filled");
      await again.query("vacuum full public.kept");
      await again.query("drop table public.filled");
      await again.query("checkpoint");
      await expect.poll(() => at.store.restoreBallast(spec.id), { timeout: 20_000 }).toBe(true);
      await other.query("create table public.t as select generate_series(1, 100000) as i");
      expect(await logOf(at, spec.id)).not.toMatch(/PANIC|FATAL/);
    },
  );

  itself("that reach their limit are enlarged while they serve", async (ctx) => {
    if (at.noLimit !== undefined) return ctx.skip(at.noLimit);
    const spec = await at.made({ storageMiB: 40 });
    const client = await at.start(spec);
    await client.query("create table public.t (i int, t text)");
    await client.query("alter table public.t alter t set storage external");
    expect(await fillUp(client, "t")).toMatch(NO_ROOM);
    const bigger = { ...spec, storageMiB: 600 };
    expect(await at.store.resizeStorage(bigger)).toEqual([]);
    expect(await at.store.resizeStorage(bigger)).toEqual([]);
    await client.query(
      "insert into public.t select i, repeat(md5(i::text), 200) from generate_series(1, 20000) i",
    );
    expect((await at.store.fill(spec.id)).limitBytes).toBe(600n * BigInt(MIB));
    for (const storageMiB of [500, 0]) {
      const smaller = at.store.resizeStorage({ ...spec, storageMiB });
      await expect(smaller).rejects.toThrow(/cannot (shrink|be without)/);
    }
  });

  itself("that get a limit later move into a volume when they start again", async (ctx) => {
    if (at.noLimit !== undefined) return ctx.skip(at.noLimit);
    const spec = await at.made();
    const client = await at.start(spec);
    await client.query("create table public.t as select generate_series(1, 1000) as i");
    const limited = { ...spec, storageMiB: 80 };
    expect(await at.store.resizeStorage(limited)).toEqual(["storage"]);
    await at.stop(spec.id);
    const again = await at.start(limited);
    expect(await at.store.walls(spec.id)).toEqual([`storage:${means}`]);
    expect(existsSync(at.store.place(spec.id).files)).toBe(false);
    expect((await again.query("select count(*)::int from public.t")).rows).toEqual([
      { count: 1000 },
    ]);
    await at.stop(spec.id);
    // What a shutdown leaves, or a restart of the machine.
    await at.store.release();
    expect(await mountsUnder(at.home)).toEqual([]);
    const restarted = at.another();
    await restarted.recover();
    expect(await restarted.storageBytes(spec.id)).toBeGreaterThan(1_000_000n);
    await at.start(limited);
  });

  itself("give tenants no place outside of their limit", async () => {
    const client = await at.start(await at.made({ storageMiB: 60 }));
    await client.query("create role guest login in role aerodb_tenants");
    await client.query("create schema guest authorization guest");
    await client.query("set role guest");
    for (const statement of [
      "create table guest.t (i int) tablespace pg_default",
      "create table guest.t (i int) tablespace pg_global",
      "create tablespace mine location '/tmp'",
    ]) {
      await expect(client.query(statement)).rejects.toMatchObject({ code: "42501" });
    }
    await client.query("create table guest.t (i int)");
    const { rows } = await client.query("select pg_relation_filepath('guest.t') as path");
    expect(rows[0].path).toMatch(/^pg_tblspc\//);
  });

  itself("that are gone leave no place of a socket behind an agent that died then", async () => {
    const [kept, lost] = [await at.made(), await at.made()];
    for (const spec of [kept, lost]) {
      await at.start(spec);
      await at.stop(spec.id);
    }
    await at.store.release();
    await rename(at.store.place(lost.id).directory, join(at.home, "set-aside"));
    const strange = join(at.store.layout.run, "notes");
    await mkdir(strange);
    await at.another().recover();
    const left = await readdir(at.store.layout.run);
    const { socketDirectory } = at.store.place(kept.id);
    expect(left.toSorted()).toEqual([basename(socketDirectory), "notes"].toSorted());
    await rm(strange, { recursive: true });
  });

  itself("with somebody else's data are not served", async () => {
    const [own, strange] = [await at.made(), await at.made()];
    const { data } = at.store.place(own.id);
    await rm(data, { recursive: true });
    await cp(at.store.place(strange.id).data, data, { recursive: true, verbatimSymlinks: true });
    await expect(at.store.furnish(own)).rejects.toThrow(/is not what was made there/);
    await at.store.furnish(strange);
    // A pipe would keep whoever reads it waiting, and a link leads to another's.
    const control = join(data, "global", "pg_control");
    await rm(control);
    await run("mkfifo", [control]);
    await expect(at.store.furnish(own)).rejects.toThrow(/is no file/);
    await rm(control);
    await symlink(join(at.store.place(strange.id).data, "global", "pg_control"), control);
    await expect(at.store.furnish(own)).rejects.toThrow(/Could not read/);
  });

  itself("with links and pipes in them are measured and removed, and nothing else is", async () => {
    const spec = await at.made();
    const { data, files } = at.store.place(spec.id);
    const outside = join(at.home, "outside");
    await mkdir(join(outside, "folder"), { recursive: true });
    const before = await at.store.storageBytes(spec.id);
    for (const folder of [data, files, join(data, "base")]) {
      await symlink(outside, join(folder, "link"));
      await run("mkfifo", [join(folder, "pipe")]);
    }
    await rm(join(data, "pg_wal"), { recursive: true });
    await symlink(outside, join(data, "pg_wal"));
    const after = await at.store.storageBytes(spec.id);
    expect(Number(after) - Number(before)).toBeLessThan(1_000);
    await at.store.destroy(spec.id);
    expect(await readdir(outside)).toEqual(["folder"]);
    expect((await stat(outside)).uid).toBe(process.geteuid?.());
  });

  itself("with folders in folders, deeper than any path, are removed", async () => {
    const [first, second] = [await at.made(), await at.made()];
    for (const { id } of [first, second]) {
      await run(process.execPath, ["-e", DEEPEN], { cwd: at.store.place(id).data });
    }
    await at.store.destroy(first.id);
    const { directory, gone } = at.store.place(second.id);
    await rename(directory, gone);
    await at.another().recover();
    expect(await readdir(join(at.home, "instances"))).toEqual([]);
  });
});

/** Writes until there is no room, and returns what Postgres says then. */
async function fillUp(client: pg.Client, table: string): Promise<string> {
  const row = "repeat(md5(random()::text), 200)";
  for (let round = 0; round < 100; round += 1) {
    try {
      await client.query(
        `insert into public.${table} select i, ${row} from generate_series(1, 1000) i`,
      );
    } catch (error) {
      return messageOf(error);
    }
  }
  return "";
}

async function logOf(at: ThrowawayStore, id: InstanceId): Promise<string> {
  return readFile(at.store.place(id).log, "utf8");
}
