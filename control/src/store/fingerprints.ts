/** What agents find out about their hosts, and what placing needs of it in columns of its own. */
import { type Db, sql } from "@aerodb/db";
import type { HostId } from "@aerodb/model";

/** Facts about a host. What its agent could not find out is blank, empty or undefined. */
export interface HostFingerprint {
  readonly bootId: string;
  readonly memoryMiB: number;
  readonly cores: number;
  readonly processor: string;
  readonly architecture: string;
  readonly operatingSystem: string;
  readonly kernel: string;
  readonly driver: string;
  readonly foundEngines: readonly FoundEngine[];
  readonly fileSystems: readonly HostFileSystem[];
  readonly volumeMeans: readonly string[];
  readonly hardLimits: readonly string[];
  readonly controlGroups:
    | { readonly version: number; readonly controllers: readonly string[] }
    | undefined;
  readonly namespaces: readonly string[];
  readonly sandbox: string;
  readonly nftables: boolean;
  readonly docker: { readonly version: string; readonly apiVersion: string } | undefined;
}

export interface FoundEngine {
  readonly version: string;
  readonly origin: string;
  readonly floor: string;
  readonly meetsFloor: boolean;
}

export interface HostFileSystem {
  readonly holds: readonly string[];
  readonly type: string;
  readonly sizeMiB: number;
  readonly freeMiB: number;
  readonly reflink: boolean;
}

export interface FingerprintTaken {
  readonly hostId: HostId;
  /** Session of the stream it came by; undefined when it begins one. */
  readonly token: string | undefined;
  readonly fingerprint: HostFingerprint;
  /** Engines it can run and is allowed to. */
  readonly engines: readonly string[];
  readonly capabilities: readonly string[];
}

/**
 * Keeps a fingerprint, and what it changes, in an event; free space changes all the time and makes
 * none. False when there is no such host, or another session took the place of this one.
 */
export async function writeFingerprint(db: Db, taken: FingerprintTaken): Promise<boolean> {
  const { hostId, token, fingerprint, engines, capabilities } = taken;
  const { facts, free } = spell(fingerprint);
  const underFloor = fingerprint.foundEngines
    .filter(({ meetsFloor }) => !meetsFloor)
    .map(({ version, floor }) => `${version} (floor ${floor || "none"})`);
  const home = fingerprint.fileSystems.find(({ holds }) => holds.includes("instances"));
  const written = await db.query(sql`
    with earlier as (
      select id, fingerprint - 'free' as facts, capabilities from hosts
       where id = ${hostId} and (${token ?? null}::uuid is null or session_token = ${token ?? null})
         for update
    ), host as (
      update hosts h
         set fingerprint = ${JSON.stringify({ ...facts, free })}::jsonb,
             engines = ${engines}::text[], engines_under_floor = ${underFloor}::text[],
             capabilities = ${capabilities}::text[],
             capacity_memory_mib = ${fingerprint.memoryMiB}::integer,
             capacity_cpu_millis = ${fingerprint.cores * 1_000}::integer,
             storage_mib = ${home?.sizeMiB ?? null}::bigint,
             free_storage_mib = ${home?.freeMiB ?? null}::bigint
        from earlier where h.id = earlier.id
      returning h.id
    ), changed as (
      select key, before.value as before, after.value as after
        from earlier
       cross join lateral jsonb_each(facts || jsonb_build_object(
               'capabilities', earlier.capabilities)) as before
        full join jsonb_each(${JSON.stringify({ ...facts, capabilities })}::jsonb) as after
             using (key)
       where before.value is distinct from after.value
    ), event as (
      insert into events (actor, kind, subject, before, after)
      select ${hostId}, 'host.fingerprint', host.id,
             jsonb_object_agg(key, before) filter (where before is not null),
             jsonb_object_agg(key, after) filter (where after is not null)
        from host, changed group by host.id
    )
    select id from host`);
  return written.length === 1;
}

/** The fingerprint of a host; undefined while its agent has not told. */
export async function readFingerprint(
  db: Db,
  hostId: HostId,
): Promise<HostFingerprint | undefined> {
  const [row] = await db.query<{ readonly fingerprint: Spelt }>(sql`
    select fingerprint from hosts where id = ${hostId} and fingerprint <> '{}'`);
  return row && readSpelt(row.fingerprint);
}

type Spelt = ReturnType<typeof spell>["facts"] & {
  readonly free: readonly number[];
};

/** As the catalogue keeps it: what a host has apart from what is free of it just now. */
function spell(fingerprint: HostFingerprint) {
  const facts = {
    boot_id: fingerprint.bootId,
    memory_mib: fingerprint.memoryMiB,
    cores: fingerprint.cores,
    processor: fingerprint.processor,
    architecture: fingerprint.architecture,
    operating_system: fingerprint.operatingSystem,
    kernel: fingerprint.kernel,
    driver: fingerprint.driver,
    found_engines: fingerprint.foundEngines.map(({ meetsFloor, ...engine }) => ({
      ...engine,
      meets_floor: meetsFloor,
    })),
    file_systems: fingerprint.fileSystems.map(({ holds, type, sizeMiB, reflink }) => ({
      ...{ holds, type, reflink },
      size_mib: sizeMiB,
    })),
    volume_means: fingerprint.volumeMeans,
    hard_limits: fingerprint.hardLimits,
    control_groups: fingerprint.controlGroups ?? null,
    namespaces: fingerprint.namespaces,
    sandbox: fingerprint.sandbox,
    nftables: fingerprint.nftables,
    docker: fingerprint.docker
      ? { version: fingerprint.docker.version, api_version: fingerprint.docker.apiVersion }
      : null,
  };
  return { facts, free: fingerprint.fileSystems.map(({ freeMiB }) => freeMiB) };
}

function readSpelt(spelt: Spelt): HostFingerprint {
  return {
    bootId: spelt.boot_id,
    memoryMiB: spelt.memory_mib,
    cores: spelt.cores,
    processor: spelt.processor,
    architecture: spelt.architecture,
    operatingSystem: spelt.operating_system,
    kernel: spelt.kernel,
    driver: spelt.driver,
    foundEngines: spelt.found_engines.map(({ meets_floor: meetsFloor, ...engine }) => ({
      ...engine,
      meetsFloor,
    })),
    fileSystems: spelt.file_systems.map(({ size_mib: sizeMiB, ...fileSystem }, index) => ({
      ...fileSystem,
      sizeMiB,
      freeMiB: spelt.free[index] ?? 0,
    })),
    volumeMeans: spelt.volume_means,
    hardLimits: spelt.hard_limits,
    controlGroups: spelt.control_groups ?? undefined,
    namespaces: spelt.namespaces,
    sandbox: spelt.sandbox,
    nftables: spelt.nftables,
    docker: spelt.docker
      ? { version: spelt.docker.version, apiVersion: spelt.docker.api_version }
      : undefined,
  };
}
