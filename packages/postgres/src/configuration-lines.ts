/** The lines of postgresql.conf as data: what is set, to what, and why. */
import {
  backendMemoryMiB,
  type InstanceShape,
  METER_CONNECTIONS,
  PLATFORM_CONNECTIONS,
} from "./instance-shape.ts";

export interface ConfigurationLine {
  readonly name: string;
  readonly value: string | number;
  readonly because: string;
}

function line(name: string, value: string | number, because: string): ConfigurationLine {
  return { name, value, because };
}

/** From this size on an instance is there to work, not to wait cheaply for work. */
const LARGE_MIB = 4_096;
const PARALLEL_FROM_MILLIS = 2_000;

/** Everything the platform decides for an instance of a shape, in the order it is rendered. */
export function configurationLines(shape: InstanceShape): readonly ConfigurationLine[] {
  return [
    ...ALWAYS,
    ...QUIET_LOG,
    ...connections(shape),
    ...(shape.kind === "catalogue" ? catalogueSizes(shape) : sizes(shape)),
    ...replication(shape),
    ...byMajor(shape),
    ...(shape.readOnly ? [READ_ONLY] : []),
  ];
}

const READ_ONLY = line(
  "default_transaction_read_only",
  "on",
  "hardly any room is left: what makes room says READ WRITE",
);

const ALWAYS: readonly ConfigurationLine[] = [
  line("listen_addresses", "", "only the socket, in a directory for the platform and the gateway"),
  line("unix_socket_permissions", "0777", "its directory is the wall"),
  line("ssl", "off", "nothing but a unix socket leads here, and the gateway ends TLS"),
  line("password_encryption", "scram-sha-256", "no weaker verifier is ever made"),
  line("recovery_init_sync_method", "syncfs", "one flush after a crash instead of one per file"),
  line("fsync", "on", "what was acknowledged outlasts a power failure"),
  line("full_page_writes", "on", "a page that was torn by a power failure is restored whole"),
  line("max_logical_replication_workers", 0, "nothing subscribes"),
  line("max_prepared_transactions", 0, "one that is forgotten stops every vacuum"),
  line("huge_pages", "off", "they would be reserved from every other instance"),
  line("temp_file_limit", "5GB", "a spilling query fails before it fills the disk"),
  line("timezone", "UTC", "every host means the same by a time"),
  line("log_timezone", "UTC", "likewise in the log"),
  line("lc_messages", "C", "what the platform reads of the log has one language"),
  line("default_text_search_config", "pg_catalog.english", "the same on every host"),
];

const SECRET = "statements, parameters and rows belong to the tenant";
const NOISE = "of no use to the operator of many";

/** Neither statements, nor their parameters, nor rows in an error's detail reach the log. */
const QUIET_LOG: readonly ConfigurationLine[] = [
  line("logging_collector", "off", "the agent keeps the log"),
  line("log_destination", "stderr", "the agent keeps the log"),
  line("log_line_prefix", "%m [%p] ", "when, and which process"),
  line("log_statement", "none", SECRET),
  line("log_min_error_statement", "panic", SECRET),
  line("log_min_duration_statement", -1, SECRET),
  line("log_min_duration_sample", -1, SECRET),
  line("log_transaction_sample_rate", 0, SECRET),
  line("log_parameter_max_length", 0, SECRET),
  line("log_parameter_max_length_on_error", 0, SECRET),
  line("log_error_verbosity", "terse", SECRET),
  line("log_checkpoints", "off", NOISE),
  line("log_lock_waits", "off", SECRET),
  line("log_autovacuum_min_duration", -1, NOISE),
  line("log_temp_files", -1, SECRET),
];

function connections(shape: InstanceShape): readonly ConfigurationLine[] {
  const all = shape.maxConnections + PLATFORM_CONNECTIONS;
  // The superuser may use what is kept for the meter, but not the other way round.
  const meter = shape.kind === "catalogue" ? 0 : METER_CONNECTIONS;
  const root = PLATFORM_CONNECTIONS - meter;
  const kept = line("reserved_connections", meter, "a full server is still measured");
  return [
    line("max_connections", all, "those of tenants, and those of the platform on top"),
    line("superuser_reserved_connections", root, "the platform always gets in"),
    // Before 16 these are left over by a tenant that has all of its own, and not kept from many.
    ...(meter === 0 || shape.engineMajor < 16 ? [] : [kept]),
  ];
}

function sizes(shape: InstanceShape): readonly ConfigurationLine[] {
  return [...memory(shape), ...workers(shape), ...(shape.kind === "shared" ? BUSY : IDLE)].concat(
    wal(shape),
  );
}

/** ANALYZE keeps 300 rows of 2 KiB for each, which come to three fifths of that. */
const SAMPLED =
  "one for each MiB that a process may have, for it holds what it samples; 100 at most";

/** Together at most nine tenths of the memory, with every connection at work at once. */
function memory(shape: InstanceShape): readonly ConfigurationLine[] {
  const { memoryMiB } = shape;
  const least = shape.kind === "shared" ? 16 : 8;
  const share = memoryMiB < LARGE_MIB ? 8 : 4;
  const buffers = within(least, Math.floor(memoryMiB / share), 65_536);
  const sorters = shape.maxConnections + PLATFORM_CONNECTIONS + parallelWorkers(shape);
  const work = within(64, Math.floor((memoryMiB * 1_024) / 2 / sorters), 262_144);
  const maintenance = within(1, Math.floor(memoryMiB / 32), 2_048);
  const cache = Math.floor((memoryMiB * 3) / 4);
  const statistics = Math.min(
    backendMemoryMiB({ memoryMiB, shared: shape.kind === "shared" }),
    100,
  );
  return [
    line("shared_buffers", `${buffers}MB`, "an eighth of the memory; a quarter in a large one"),
    line("work_mem", `${work}kB`, "half of the memory, with every connection sorting at once"),
    line("hash_mem_multiplier", 1, "a hash counts like a sort, or the sum would not hold"),
    line("maintenance_work_mem", `${maintenance}MB`, "1/32 each for vacuums and an index"),
    line("effective_cache_size", `${cache}MB`, "what the kernel may keep of the files"),
    line("default_statistics_target", statistics, SAMPLED),
  ];
}

function workers(shape: InstanceShape): readonly ConfigurationLine[] {
  const large = shape.memoryMiB >= LARGE_MIB;
  const parallel = parallelWorkers(shape);
  const shared = shape.kind === "shared";
  return [
    line("max_worker_processes", shared || large ? 8 : 4, "slots cost memory whether used or not"),
    line("autovacuum_max_workers", autovacuumWorkers(shape), "each takes maintenance_work_mem"),
    line("max_parallel_workers", parallel, "none where there is not a second core"),
    line("max_parallel_workers_per_gather", Math.min(2, parallel), "likewise"),
    line("max_parallel_maintenance_workers", Math.min(2, parallel), "likewise"),
  ];
}

export function autovacuumWorkers(shape: InstanceShape): number {
  return shape.kind === "shared" || shape.memoryMiB >= LARGE_MIB ? 3 : 2;
}

export function parallelWorkers({ cpuMillis = 1_000 }: InstanceShape): number {
  return cpuMillis < PARALLEL_FROM_MILLIS ? 0 : within(2, Math.floor(cpuMillis / 1_000), 8);
}

/** An instance alone costs about 7 MB while nobody uses it, and no processor time. */
const IDLE: readonly ConfigurationLine[] = [
  line("max_locks_per_transaction", 64, "enough for the tables of one tenant"),
  line("bgwriter_lru_maxpages", 0, "an idle instance wakes for nothing"),
  line("bgwriter_delay", "10s", "an idle instance wakes for nothing"),
  line("autovacuum_naptime", "5min", "an idle instance wakes seldom"),
  line("checkpoint_timeout", "15min", "an idle instance wakes seldom"),
];

const BUSY: readonly ConfigurationLine[] = [
  line("max_locks_per_transaction", 256, "a dump or a drop locks each of many tables at once"),
  line("autovacuum_naptime", "1min", "somebody among many always writes"),
  line("checkpoint_timeout", "10min", "somebody among many always writes"),
];

/** What an instance keeps of WAL while hardly any room is left. */
export const SCARCE_WAL_MIB = 32;

function wal({ kind, memoryMiB, readOnly }: InstanceShape): readonly ConfigurationLine[] {
  const shared = kind === "shared";
  const least = shared ? 1_024 : 256;
  const most = within(least, Math.floor(memoryMiB / 4), 8_192);
  return [
    shared || memoryMiB >= LARGE_MIB
      ? line("wal_buffers", "1MB", "one segment: more is not used")
      : line("wal_buffers", "256kB", "all of it is touched, whether used or not"),
    line("min_wal_size", shared ? "16MB" : "2MB", "what stays on disk of an idle instance"),
    readOnly
      ? line("max_wal_size", `${SCARCE_WAL_MIB}MB`, "hardly any room is left")
      : line("max_wal_size", `${most}MB`, "how much a crash may leave to replay"),
  ];
}

function catalogueSizes(shape: InstanceShape): readonly ConfigurationLine[] {
  const buffers = within(16, Math.floor(shape.memoryMiB / 8), 1_024);
  return [
    line("shared_buffers", `${buffers}MB`, "an eighth of the memory"),
    line("max_worker_processes", 4, "slots cost memory whether used or not"),
    line("checkpoint_timeout", "10min", "control writes now and then"),
    line("min_wal_size", "16MB", "what stays on disk while control is idle"),
    line("max_wal_size", "512MB", "how much a crash may leave to replay"),
  ];
}

function replication(shape: InstanceShape): readonly ConfigurationLine[] {
  if (shape.replication !== true) {
    return [
      line("wal_level", "minimal", "nobody follows: the least is written"),
      line("max_wal_senders", 0, "no standby attaches"),
    ];
  }
  return [
    line("wal_level", "replica", "a standby follows"),
    line("max_wal_senders", 4, "two standbys, a base backup and one that comes back"),
    line("max_replication_slots", 4, "one for each that follows"),
    line("max_slot_wal_keep_size", "1GB", "a standby that is gone does not fill the disk"),
    line("hot_standby", "on", "a standby answers reads"),
  ];
}

function byMajor(shape: InstanceShape): readonly ConfigurationLine[] {
  const lines: ConfigurationLine[] = [];
  if (shape.engineMajor >= 17) {
    lines.push(line("allow_alter_system", "off", "settings come from the platform alone"));
    const notified =
      "512 MiB of the disk, not 8 GiB, for what a session listens to and never takes";
    lines.push(line("max_notify_queue_pages", 65_536, notified));
  }
  if (shape.engineMajor < 18) return lines;
  if (shape.kind === "catalogue" || shape.memoryMiB < LARGE_MIB) {
    lines.push(line("io_method", "sync", "workers for reading ahead are three processes more"));
  } else {
    lines.push(line("io_method", "worker", "a large instance reads ahead"));
    lines.push(line("io_workers", 3, "a large instance reads ahead"));
  }
  return lines;
}

function within(least: number, value: number, most: number): number {
  return Math.min(Math.max(least, value), most);
}
