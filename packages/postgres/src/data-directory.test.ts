import { open, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { removeDrafts } from "./built-directory.ts";
import { connectPlatform } from "./connection.ts";
import { listSegments, readSystemIdentifier, setSystemIdentifier } from "./control-file.ts";
import { cloneDataDirectory } from "./data-directory.ts";
import { startPostmaster } from "./postmaster-start.ts";
import { ensureTemplate } from "./template.ts";
import {
  ROOT_PASSWORD,
  type ThrowawayHome,
  throwawayHome,
  throwawayInstance,
} from "./throwaway-instance.ts";

let home: ThrowawayHome;
beforeAll(async () => {
  home = await throwawayHome();
});
afterAll(() => home.remove());

test("two that ask at once get one template, and another password another", async () => {
  const directory = join(home.directory, "raced");
  const [first, second] = await Promise.all(
    [1, 2].map(() => ensureTemplate(home.engine, directory, { rootPassword: "a".repeat(40) })),
  );
  expect(second).toBe(first);
  expect(await readdir(directory)).toHaveLength(1);
  const other = await ensureTemplate(home.engine, directory, { rootPassword: "b".repeat(40) });
  expect(other).not.toBe(first);
});

test("a template is slim: one WAL segment, and no file with the password or its verifier beside it", async () => {
  expect(await listSegments(home.template)).toHaveLength(1);
  expect(await readdir(join(home.template, "base"))).toHaveLength(1);
  expect(await readdir(join(home.template, ".."))).toEqual(["data", "manifest.json"]);
});

test("clones have identifiers of their own, in their WAL too, and belong to their owner", async () => {
  const clones = ["one", "two"].map((name) => join(home.directory, name));
  const whose = home.owner === undefined ? {} : { owner: home.owner };
  const identifiers = await Promise.all(
    clones.map((clone) => cloneDataDirectory(home.template, clone, whose)),
  );
  expect(new Set([...identifiers, await readSystemIdentifier(home.template)]).size).toBe(3);

  for (const [at, clone] of clones.entries()) {
    const [segment = ""] = await listSegments(clone);
    expect((await readFile(segment)).readBigUInt64LE(24)).toBe(identifiers[at]);
    for (const path of [clone, join(clone, "base"), join(clone, "global/pg_control")]) {
      const { mode, uid } = await stat(path);
      expect(mode & 0o077).toBe(0);
      expect(uid).toBe(home.owner?.uid ?? process.geteuid?.());
    }
  }
});

test("a clone that is there is left as it is, and drafts of the dead can be removed", async () => {
  const target = join(home.directory, "kept");
  const identifier = await cloneDataDirectory(home.template, target);
  await writeFile(join(target, "mark"), "");
  expect(await cloneDataDirectory(home.template, target)).toBe(identifier);
  expect(await readdir(target)).toContain("mark");

  await cloneDataDirectory(home.template, join(home.directory, ".draft-dead-1234"));
  await removeDrafts(home.directory);
  expect((await readdir(home.directory)).filter((name) => name.startsWith("."))).toEqual([]);
});

test("a clone's server has one database, checksums, and survives a crash under its identifier", async () => {
  const settings = await throwawayInstance(home, "crashed");
  const identifier = await readSystemIdentifier(settings.dataDirectory);
  const before = await startPostmaster(settings);
  const { socketDirectory } = settings;
  const client = await connectPlatform({ socketDirectory, password: ROOT_PASSWORD });
  const { rows } = await client.query(
    `select system_identifier::text,
       (select array_agg(datname::text) from pg_database) as databases,
       current_setting('data_checksums') as checksums,
       current_setting('server_encoding') as encoding
     from pg_control_system()`,
  );
  expect(rows).toEqual([
    {
      system_identifier: identifier.toString(),
      databases: ["aerodb"],
      checksums: "on",
      encoding: "UTF8",
    },
  ]);
  await client.query("create table public.t as select generate_series(1, 1000) as i");
  await before.stop("immediate");

  const after = await startPostmaster(settings);
  const again = await connectPlatform({ socketDirectory, password: ROOT_PASSWORD });
  expect((await again.query("select count(*)::int from public.t")).rows).toEqual([{ count: 1000 }]);
  // Every page that the template holds is as its checksum says.
  await again.query("vacuum");
  await again.end();
  await after.stop("fast");
});

test("a damaged control file, or one of a running server, gets no new identifier", async () => {
  const target = join(home.directory, "damaged");
  await cloneDataDirectory(home.template, target);
  const file = await open(join(target, "global/pg_control"), "r+");
  await file.write(Buffer.from([1]), 0, 1, 100);
  await expect(setSystemIdentifier(target, 1n)).rejects.toThrow("sum does not match");
  await file.write(Buffer.from([6]), 0, 1, 16);
  await file.close();
  await expect(setSystemIdentifier(target, 1n)).rejects.toThrow("not shut down cleanly");
});
