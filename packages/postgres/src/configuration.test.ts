import { execFile } from "node:child_process";
import { lstat, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { renderConfiguration, writeConfiguration } from "./configuration.ts";
import { autovacuumWorkers, configurationLines, parallelWorkers } from "./configuration-lines.ts";
import { backendMemoryMiB, type InstanceShape, PLATFORM_CONNECTIONS } from "./instance-shape.ts";

const KINDS = ["shared", "dedicated", "catalogue"] as const;
const MAJORS = [15, 16, 17, 18] as const;
const shape: InstanceShape = {
  kind: "dedicated",
  engineMajor: 18,
  maxConnections: 20,
  memoryMiB: 512,
};

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "aerodb-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const LINE = /^([a-z_]+) = (-?\d+|'[A-Za-z0-9 _.,%/[\]-]*') {2}# [^'\n]+$/;

function linesOf(rendered: string): readonly string[] {
  return rendered.trimEnd().split("\n");
}

test("every line sets one thing, of plain characters, and says why; none is set twice", () => {
  for (const kind of KINDS) {
    for (const engineMajor of MAJORS) {
      for (const replication of [true, false]) {
        const lines = linesOf(renderConfiguration({ ...shape, kind, engineMajor, replication }));
        const names = lines.map((line) => LINE.exec(line)?.[1] ?? expect.fail(line));
        expect(new Set(names).size).toBe(names.length);
      }
    }
  }
});

test("no statement reaches the log and no network address is listened on", () => {
  for (const kind of KINDS) {
    const text = renderConfiguration({ ...shape, kind });
    expect(text).toContain("listen_addresses = '' ");
    expect(text).toContain("log_statement = 'none' ");
    expect(text).toContain("log_min_error_statement = 'panic' ");
    expect(text).toContain("ssl = 'off' ");
  }
});

test("the platform's connections come on top of the tenants'", () => {
  const text = renderConfiguration(shape);
  expect(text).toContain("max_connections = 25 ");
  expect(text).toContain("superuser_reserved_connections = 3 ");
  expect(text).toMatch(/^reserved_connections = 2 /m);
});

test("an older engine is not told what it does not know", () => {
  const text = renderConfiguration({ ...shape, kind: "shared", engineMajor: 15 });
  expect(text).not.toContain("io_method");
  expect(text).not.toContain("allow_alter_system");
});

test("only a large instance of 18 has workers that read ahead", () => {
  expect(renderConfiguration(shape)).toContain("io_method = 'sync'");
  expect(renderConfiguration({ ...shape, memoryMiB: 8_192 })).toContain("io_method = 'worker'");
});

test("a standby can attach only to an instance that was rendered for one", () => {
  const alone = renderConfiguration(shape);
  expect(alone).toContain("wal_level = 'minimal'");
  expect(alone).toContain("max_wal_senders = 0 ");
  const followed = renderConfiguration({ ...shape, replication: true });
  expect(followed).toContain("wal_level = 'replica'");
  expect(followed).toContain("max_wal_senders = 4 ");
  expect(followed).toContain("max_slot_wal_keep_size = '1GB'");
});

/** MiB of a size as it is rendered. */
function mebibytes(of: InstanceShape, name: string): number {
  const value = String(configurationLines(of).find((line) => line.name === name)?.value);
  const [, number, unit] = /^(\d+)(kB|MB|GB)$/.exec(value) ?? expect.fail(`${name} = ${value}`);
  const factor = { kB: 1 / 1_024, MB: 1, GB: 1_024 }[unit as "kB" | "MB" | "GB"];
  return Number(number) * factor;
}

const SMALLEST_MIB = 64;
const LARGEST_MIB = 262_144;
/** Even, on a logarithmic scale: small sizes are where sums go wrong. */
const memoryMiB = fc
  .double({ min: Math.log2(SMALLEST_MIB), max: Math.log2(LARGEST_MIB), noNaN: true })
  .map((exponent) => Math.round(2 ** exponent));

const anyShape: fc.Arbitrary<InstanceShape> = fc.record({
  kind: fc.constantFrom("shared", "dedicated"),
  engineMajor: fc.constantFrom(...MAJORS),
  maxConnections: fc.integer({ min: 1, max: 500 }),
  memoryMiB,
  cpuMillis: fc.integer({ min: 50, max: 64_000 }),
  replication: fc.boolean(),
});

test("with every connection, vacuum and worker at work at once a tenth of the memory is free", () => {
  fc.assert(
    fc.property(anyShape, (of) => {
      // 64 kB a connection is the least that Postgres takes: fewer fit into less.
      fc.pre(of.maxConnections <= of.memoryMiB * 7);
      const sorters = of.maxConnections + PLATFORM_CONNECTIONS + parallelWorkers(of);
      const sum =
        mebibytes(of, "shared_buffers") +
        mebibytes(of, "wal_buffers") +
        mebibytes(of, "work_mem") * sorters +
        mebibytes(of, "maintenance_work_mem") * (autovacuumWorkers(of) + 1);
      expect(sum).toBeLessThanOrEqual(of.memoryMiB * 0.9);
      expect(mebibytes(of, "effective_cache_size")).toBeLessThan(of.memoryMiB);
    }),
    { numRuns: 1_000 },
  );
});

test("what ANALYZE samples of rows of 2 KiB fits into the memory of its process", () => {
  fc.assert(
    fc.property(anyShape, (of) => {
      const target = Number(
        /^default_statistics_target = (\d+)/m.exec(renderConfiguration(of))?.[1],
      );
      const { memoryMiB: all, kind } = of;
      const has = backendMemoryMiB({ memoryMiB: all, shared: kind === "shared" });
      expect((target * 300 * 2) / 1_024).toBeLessThan(has * 0.6);
      expect(target).toBeGreaterThanOrEqual(64);
    }),
  );
});

test("an idle dedicated instance of any usual size has the small profile", () => {
  for (const size of [64, 128, 512, 1_024]) {
    const text = renderConfiguration({ ...shape, memoryMiB: size });
    for (const line of [
      "bgwriter_lru_maxpages = 0 ",
      "max_wal_senders = 0 ",
      "io_method = 'sync'",
    ]) {
      expect(text).toContain(line);
    }
    expect(mebibytes({ ...shape, memoryMiB: size }, "shared_buffers")).toBe(Math.max(8, size / 8));
  }
});

test("what the tenant chose takes the place of the platform's choice", () => {
  const text = renderConfiguration({
    ...shape,
    settings: { work_mem: "16MB", statement_timeout: "30s", shared_preload_libraries: "evil" },
  });
  const lines = linesOf(text).filter((line) => line.startsWith("work_mem"));
  expect(lines).toEqual(["work_mem = '16MB'  # chosen by the tenant"]);
  expect(text).toContain("statement_timeout = '30s'  # chosen by the tenant\n");
  expect(text).not.toContain("evil");
});

test("files are replaced whole, and a link that was put in their place is not followed", async () => {
  const victim = join(directory, "victim");
  await writeFile(victim, "mine");
  for (const name of ["postgresql.conf", "postgresql.conf.new", "pg_hba.conf"]) {
    await symlink(victim, join(directory, name));
  }
  const unused = ["postgresql.auto.conf", "pg_ident.conf"].map((name) => join(directory, name));
  await promisify(execFile)("mkfifo", unused);
  await writeConfiguration(directory, shape);
  expect(await readFile(victim, "utf8")).toBe("mine");
  const path = join(directory, "postgresql.conf");
  expect(await readFile(path, "utf8")).toBe(renderConfiguration(shape));
  for (const each of unused) expect((await lstat(each)).isFile()).toBe(true);
  const about = await lstat(path);
  expect(about.isFile() && about.mode & 0o777).toBe(0o600);
  await writeConfiguration(directory, { ...shape, memoryMiB: 1_024 });
  expect(await readFile(path, "utf8")).toContain("shared_buffers = '128MB'");
});
