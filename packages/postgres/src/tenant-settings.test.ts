import fc from "fast-check";
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { renderConfiguration, writeConfiguration } from "./configuration.ts";
import { connectPlatform } from "./connection.ts";
import type { InstanceShape } from "./instance-shape.ts";
import { startPostmaster } from "./postmaster-start.ts";
import { reloadConfiguration } from "./reload.ts";
import type { ValueRule } from "./setting-value.ts";
import {
  acceptSettings,
  readSetting,
  TENANT_SETTINGS,
  waitsForRestart,
} from "./tenant-settings.ts";
import { ROOT_PASSWORD, type ThrowawayServer, throwawayServer } from "./throwaway-instance.ts";

const bounds = { memoryMiB: 256, engineMajor: 18 };
const NAMES = TENANT_SETTINGS.map(({ name }) => name);

const NEVER = [
  ...["archive_command", "restore_command", "recovery_end_command", "ssl_passphrase_command"],
  ...["shared_preload_libraries", "session_preload_libraries", "local_preload_libraries"],
  ...["dynamic_library_path", "archive_library", "jit_provider", "extension_control_path"],
  ...["listen_addresses", "port", "unix_socket_directories", "unix_socket_permissions"],
  ...["include", "include_dir", "include_if_exists", "data_directory", "config_file", "hba_file"],
  ...["ident_file", "external_pid_file", "ssl", "ssl_cert_file", "ssl_key_file", "ssl_ca_file"],
  ...["log_directory", "log_filename", "log_destination", "log_statement", "logging_collector"],
  ...["stats_temp_directory", "temp_tablespaces", "default_tablespace", "search_path", "role"],
  ...["max_connections", "superuser_reserved_connections", "wal_level", "max_wal_senders"],
  ...["fsync", "full_page_writes", "autovacuum", "allow_alter_system", "temp_file_limit"],
  ...["password_encryption", "primary_conninfo", "max_wal_size", "zero_damaged_pages", "io_method"],
  ...["Work_Mem", "work_mem ", "__proto__", "constructor", ""],
];

test("nothing that names a file, a library, a command or an address is a tenant's to set", () => {
  for (const name of NEVER) {
    expect(readSetting(name, "on", bounds).kind, name).toBe("refused");
    expect(acceptSettings(JSON.parse(`{${JSON.stringify(name)}:"1"}`), bounds).accepted).toEqual(
      {},
    );
  }
  for (const name of NAMES) {
    expect(name).toMatch(/^[a-z_]+$/);
    expect(name).not.toMatch(
      /command|librar|file|directory|include|^log_|^ssl|address|preload|path/,
    );
  }
  expect(new Set(NAMES).size).toBe(NAMES.length);
});

test("whatever is asked for, nothing outside the table is rendered and no value leaves its quotes", () => {
  const spicy = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    fc.constantFrom("16MB", "on", "30s", "1", "0.5", "'", "\\", "16MB'\nfsync = off", "on # ' "),
  );
  const asked = fc.dictionary(fc.oneof(fc.constantFrom(...NAMES, ...NEVER), fc.string()), spicy);
  const platform = renderConfiguration({ ...shape, settings: {} });
  const own = new Set([...platform.matchAll(/^([a-z_]+) = /gm)].map(([, name]) => name));
  fc.assert(
    fc.property(asked, (settings) => {
      const lines = renderConfiguration({ ...shape, settings })
        .trimEnd()
        .split("\n");
      for (const line of lines) {
        const parts = /^([a-z_]+) = (?:-?\d+|'[A-Za-z0-9 _.,%/[\]-]*') {2}# (.+)$/.exec(line);
        const [, name = "", because] = parts ?? expect.fail(line);
        if (because === "chosen by the tenant") expect(NAMES).toContain(name);
        else expect(own).toContain(name);
      }
    }),
    { numRuns: 500 },
  );
});

test.each([
  ["work_mem", "16MB", "16MB"],
  ["work_mem", "007 MB", "7MB"],
  ["work_mem", "65GB", undefined],
  ["work_mem", "65MB", undefined],
  ["work_mem", "63kB", undefined],
  ["work_mem", "16", undefined],
  ["work_mem", "-16MB", undefined],
  ["work_mem", "16mb", undefined],
  ["statement_timeout", "0", "0ms"],
  ["statement_timeout", "5 min", "5min"],
  ["statement_timeout", "5", undefined],
  ["statement_timeout", "25h", undefined],
  ["random_page_cost", "1.10", "1.1"],
  ["random_page_cost", "1e3", undefined],
  ["random_page_cost", "-1", undefined],
  ["jit", "on", undefined],
  ["enable_seqscan", "false", "off"],
  ["enable_seqscan", "OFF", undefined],
  ["datestyle", "ISO, DMY", "ISO, DMY"],
  ["extra_float_digits", "-15", "-15"],
  ["default_statistics_target", "0", undefined],
])("%s to %s", (name, text, value) => {
  const reading = readSetting(name, text, bounds);
  expect(reading.kind === "accepted" ? reading.value : undefined).toBe(value);
});

test("a refusal says what would do", () => {
  expect(readSetting("work_mem", "1TB", bounds)).toEqual({
    kind: "refused",
    sentence: "work_mem must be a size from 64kB to 65536kB, written as 64kB, 16MB or 1GB.",
  });
  expect(readSetting("archive_command", "id", bounds)).toMatchObject({
    sentence: expect.stringContaining("Allowed are: work_mem,"),
  });
  expect(readSetting("transaction_timeout", "1s", { ...bounds, engineMajor: 16 })).toMatchObject({
    sentence: "transaction_timeout needs Postgres 17; this is 16.",
  });
});

const SIZE = { kind: "dedicated", maxConnections: 20, memoryMiB: 256 } as const;
let shape: InstanceShape;
let server: ThrowawayServer;
let client: Client;
beforeAll(async () => {
  server = await throwawayServer(SIZE);
  shape = { ...SIZE, engineMajor: server.settings.engine.major };
  client = await connectPlatform({ ...server.settings, password: ROOT_PASSWORD });
});
afterAll(async () => {
  await client.end();
  await server.remove();
});

async function apply(settings: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const { dataDirectory, owner } = server.settings;
  await writeConfiguration(dataDirectory, { ...shape, settings }, owner);
  return reloadConfiguration(client);
}

/** The ends of what a rule allows. */
function extremes(rule: ValueRule): readonly string[] {
  switch (rule.kind) {
    case "switch":
      return ["on", "off"];
    case "choice":
      return rule.of;
    case "integer":
    case "number":
      return [String(rule.least), String(rule.most)];
    case "size":
      return [`${rule.leastKiB}kB`, `${Math.floor(rule.mostShare * shape.memoryMiB * 1_024)}kB`];
    case "time":
      return [`${rule.leastMs}ms`, `${rule.mostMs}ms`];
  }
}

test("a real server takes both ends of everything that is allowed, and knows what needs a restart", async () => {
  const contexts = await client.query<{ name: string; context: string }>(
    "select name, context from pg_catalog.pg_settings",
  );
  const contextOf = new Map(
    contexts.rows.map(({ name, context }) => [name.toLowerCase(), context]),
  );
  const known = TENANT_SETTINGS.filter(({ sinceMajor = 0 }) => sinceMajor <= shape.engineMajor);
  for (const { name, takesEffect } of known) {
    const context = contextOf.get(name);
    expect(context, name).toBeDefined();
    expect(["postmaster", "sighup", "superuser", "user"], name).toContain(context);
    expect(context === "postmaster", name).toBe(takesEffect === "restart");
  }
  for (const end of [0, -1]) {
    const settings = Object.fromEntries(
      known.map(({ name, value }) => [name, extremes(value).at(end) ?? ""]),
    );
    expect(acceptSettings(settings, shape).refused).toEqual([]);
    const waiting = await apply(settings); // Throws for a line that the server refuses.
    for (const name of waiting) expect(waitsForRestart(name), name).toBe(true);
    const { rows } = await client.query("show geqo");
    expect(rows).toEqual([{ geqo: end === 0 ? "on" : "off" }]);
  }
});

test("what needs a restart waits, waits no more when it is taken back, and is in force after one", async () => {
  expect(await apply({})).toEqual([]);
  expect(await apply({ shared_buffers: "16MB", work_mem: "8MB" })).toEqual(["shared_buffers"]);
  expect((await client.query("show work_mem")).rows).toEqual([{ work_mem: "8MB" }]);
  expect(await apply({ work_mem: "8MB" })).toEqual([]);
  await apply({ shared_buffers: "16MB" });
  await client.end();
  await server.postmaster.stop("fast");
  const again = await startPostmaster(server.settings);
  client = await connectPlatform({ ...server.settings, password: ROOT_PASSWORD });
  expect((await client.query("show shared_buffers")).rows).toEqual([{ shared_buffers: "16MB" }]);
  expect(await reloadConfiguration(client)).toEqual([]);
  server = { ...server, postmaster: again, remove: server.remove };
});
