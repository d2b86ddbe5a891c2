/**
 * The data directory that instances start from. It is initialised once for an engine and a
 * password, slimmed to the one database that tenants use, and cloned for every instance: 290 files
 * and 8 MB instead of 970 and 39.
 */
import { execFile } from "node:child_process";
import { createHash, createHmac } from "node:crypto";
import { lchown, mkdir, rm, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { Fault } from "@aerodb/model";
import { buildDirectory, discardDirectory } from "./built-directory.ts";
import { listSegments, readCurrentSegment } from "./control-file.ts";
import type { Engine } from "./engine.ts";
import { EXTENSION_WALL } from "./extension-wall.ts";
import { quoteIdentifier } from "./identifier.ts";
import { meterRoleCreation, meterVerifier } from "./meter-login.ts";
import { DATABASE, ROOT_ROLE, TENANTS_ROLE } from "./names.ts";
import { canChangeOwner, type Owner } from "./owner.ts";
import { type PoolLogin, poolLogin, poolRights } from "./pool-login.ts";
import { scramVerifier } from "./scram.ts";
import { pointTablespace, TABLESPACE } from "./tablespace.ts";
import { isSealed, sealTemplate, sumOfPrograms } from "./template-seal.ts";
import { listTree, pathOf } from "./tree.ts";
import { WALLS } from "./walls.ts";

export interface TemplateOptions {
  /** Password of ROOT_ROLE in every instance cloned from the template: at least 256 random bits. */
  readonly rootPassword: string;
  /** Small segments keep clones small. 1 when left out. */
  readonly walSegmentMiB?: number;
  /** Whether the database is in a tablespace, which is then beside the data. */
  readonly tablespace?: boolean;
}

/** Changes whenever what is done below does: a host then makes a new template. */
const RECIPE = 6;
/** A password of 256 random bits needs no stretching, and every session of ours is quicker. */
const ROOT_ITERATIONS = 1;
/** initdb asks for a user with an entry in passwd, and refuses root. */
const INITDB_OWNER: Owner = { uid: 65_534, gid: 65_534 };
const STEP_DEADLINE_MS = 120_000;
/** A template that was damaged since is made once more. */
const ATTEMPTS = 2;

/**
 * Makes the template of an engine under `directory`, unless it is there as it was made, and returns
 * the path of its data. Safe to repeat and to race. As root, `directory` and all above it must let
 * others through (0711).
 */
export async function ensureTemplate(
  engine: Engine,
  directory: string,
  options: TemplateOptions,
): Promise<string> {
  // The salt follows from the password, so that a second call finds the template of the first.
  const salt = createHmac("sha256", options.rootPassword).update("template salt").digest();
  const verifier = await scramVerifier(options.rootPassword, {
    salt: salt.subarray(0, 16),
    iterations: ROOT_ITERATIONS,
  });
  const walSegmentMiB = options.walSegmentMiB ?? 1;
  const tablespace = options.tablespace ?? false;
  const programs = await sumOfPrograms(engine);
  const recipe = {
    RECIPE,
    binaries: engine.binDirectory,
    programs,
    verifier,
    walSegmentMiB,
    tablespace,
    WALLS,
  };
  const hash = createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 12);

  await mkdir(directory, { recursive: true, mode: 0o711 });
  const target = join(directory, `${engine.version}-${hash}`);
  const meter = await meterVerifier(options.rootPassword);
  const pool = await poolLogin(options.rootPassword);
  const plan = { engine, target, verifier, meter, pool, walSegmentMiB, tablespace };
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    await buildDirectory(target, (draft) => build({ ...plan, draft }));
    if (await isSealed(target)) return join(target, "data");
    await discardDirectory(target);
  }
  throw new Fault(
    "UNAVAILABLE",
    `The template in ${target} is damaged as soon as it is made: examine the disk.`,
  );
}

interface Build {
  readonly engine: Engine;
  readonly draft: string;
  /** Where the draft goes when it is finished. */
  readonly target: string;
  readonly verifier: string;
  /** Of the login that measures. */
  readonly meter: string;
  /** Of the login of pooled requests. */
  readonly pool: PoolLogin;
  readonly walSegmentMiB: number;
  readonly tablespace: boolean;
}

/** initdb would say so in words that name neither the cause nor the cure. */
function requireUserName(): void {
  try {
    if (!canChangeOwner()) userInfo();
  } catch (error) {
    throw new Fault(
      "UNAVAILABLE",
      `The user with uid ${process.geteuid?.()} has no name on this machine, which initdb needs: ` +
        "add an entry to /etc/passwd, or run as another user.",
      { cause: error },
    );
  }
}

async function build(plan: Build): Promise<void> {
  requireUserName();
  const { draft, engine, verifier } = plan;
  const data = join(draft, "data");
  const passwordFile = join(draft, "verifier");
  await writeFile(passwordFile, `${verifier}\n`, { mode: 0o600 });
  const space = join(draft, "space");
  if (plan.tablespace) await mkdir(space, { mode: 0o700 });
  await give(INITDB_OWNER, [draft, passwordFile, ...(plan.tablespace ? [space] : [])]);

  await runTool({
    path: join(engine.binDirectory, "initdb"),
    arguments: initdbArguments(plan, data, passwordFile),
    directory: draft,
  });
  await rm(passwordFile);
  const logins = [...meterRoleCreation(engine.major, plan.meter), ...poolRights(plan.pool)];
  const move = plan.tablespace ? [["template1", moving(space)] as const] : [];
  const [renaming, ...slimming] = SLIMMING;
  const stages = [renaming, ...move, ...slimming, [DATABASE, logins] as const];
  for (const [database, statements] of stages) {
    const server = [...singleUser(data), database];
    await runTool({
      path: join(engine.binDirectory, "postgres"),
      arguments: server,
      directory: draft,
      input: `${statements.join("\n")}\n`,
    });
  }
  await removeSurplus(draft);
  if (plan.tablespace) await pointTablespace(data, join(plan.target, "space"));
  await sealTemplate(draft);
  await give({ uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }, tree(draft));
}

function initdbArguments(plan: Build, data: string, passwordFile: string): readonly string[] {
  const { engine, walSegmentMiB } = plan;
  const locale =
    engine.major >= 17 ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] : [];
  return [
    `--pgdata=${data}`,
    `--username=${ROOT_ROLE}`,
    `--pwfile=${passwordFile}`,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    ...locale,
    "--data-checksums",
    `--wal-segsize=${walSegmentMiB}`,
    // All is flushed at once at the end.
    "--no-sync",
    "--no-instructions",
  ];
}

/** One process without a socket, which reads one statement a line and ends at the first error. */
function singleUser(data: string): readonly string[] {
  const settings = ["exit_on_error=on", "log_checkpoints=off", "wal_level=minimal"];
  const frugal = ["max_wal_senders=0", "min_wal_size=32MB", "fsync=off"];
  return ["--single", "-D", data, ...[...settings, ...frugal].flatMap((text) => ["-c", text])];
}

const database = quoteIdentifier(DATABASE);
const tenants = quoteIdentifier(TENANTS_ROLE);

/** Statements, and the database they are run in. */
type Stage = readonly [string, readonly string[]];
const SLIMMING: readonly [Stage, ...Stage[]] = [
  ["template1", [`alter database postgres rename to ${database};`]],
  [
    DATABASE,
    [
      "alter database template0 is_template false;",
      "alter database template1 is_template false;",
      "drop database template0;",
      "drop database template1;",
      `create role ${tenants} nologin;`,
      `revoke all on database ${database} from public;`,
      `grant connect on database ${database} to ${tenants};`,
      "revoke all on schema public from public;",
      // What tenants do wrong is theirs to know: it neither fills the log nor shows their data in
      // it. The server's own lines still come. Only a superuser may change this for a session.
      `alter database ${database} set log_min_messages = 'fatal';`,
      ...EXTENSION_WALL,
      ...WALLS,
    ],
  ],
];

/** Moves the database into a tablespace; run in another, before that is dropped. */
function moving(space: string): readonly string[] {
  if (/['\\\n]/.test(space)) {
    throw new Fault("UNAVAILABLE", `${space} is no place for a tablespace: use plain names.`);
  }
  const tablespace = quoteIdentifier(TABLESPACE);
  return [
    `create tablespace ${tablespace} location '${space}';`,
    `alter database ${database} set tablespace ${tablespace};`,
  ];
}

/**
 * Removes what a clone can do without: WAL segments made ahead of their use, and the free space and
 * visibility maps, which Postgres makes anew when it vacuums.
 */
async function removeSurplus(draft: string): Promise<void> {
  const data = join(draft, "data");
  const current = await readCurrentSegment(data);
  const segments = await listSegments(data);
  const maps = tree(draft).filter((path) => /\/[0-9]+_(fsm|vm)$/.test(path));
  const ahead = segments.filter((path) => !path.endsWith(current));
  if (ahead.length === segments.length) throw new Error(`bug: no WAL segment ${current}`);
  await Promise.all([...ahead, ...maps].map((path) => rm(path)));
}

function tree(directory: string): readonly string[] {
  return [directory, ...listTree(directory).map(pathOf)];
}

async function give(owner: Owner, paths: readonly string[]): Promise<void> {
  if (!canChangeOwner()) return;
  await Promise.all(paths.map((path) => lchown(path, owner.uid, owner.gid)));
}

interface Tool {
  readonly path: string;
  readonly arguments: readonly string[];
  /** Where it works: by that it is found when whoever ran it has died. */
  readonly directory: string;
  readonly input?: string;
}

/** Runs a program of the engine, as somebody else than root, with a clean environment. */
async function runTool(tool: Tool): Promise<void> {
  const { path } = tool;
  const options = {
    env: { LC_ALL: "C", TZ: "UTC" },
    cwd: tool.directory,
    timeout: STEP_DEADLINE_MS,
    ...(canChangeOwner() ? INITDB_OWNER : {}),
  };
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = execFile(path, tool.arguments, options, (error, _stdout, stderr) => {
    if (error === null) return resolve();
    const said = stderr.trim().split("\n").slice(-5).join(" / ");
    reject(new Fault("UNAVAILABLE", `${path} failed: ${said || error.message}`, { cause: error }));
  });
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(tool.input ?? "");
  await promise;
}
