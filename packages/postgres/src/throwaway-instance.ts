/** A real server for a test file of this package: cloned from a template, removed at the end. */
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject } from "vitest";
import { writeConfiguration } from "./configuration.ts";
import { cloneDataDirectory } from "./data-directory.ts";
import { type Engine, findEngine } from "./engine.ts";
import type { InstanceShape } from "./instance-shape.ts";
import { materializeEngine } from "./materialized-engine.ts";
import { canChangeOwner, type Owner } from "./owner.ts";
import type { Postmaster } from "./postmaster.ts";
import type { PostmasterSettings } from "./postmaster-launch.ts";
import { startPostmaster } from "./postmaster-start.ts";
import { ensureTemplate } from "./template.ts";

declare module "vitest" {
  interface ProvidedContext {
    /**
     * The npm package of an engine of an older major, for one more run of the same tests: the
     * projects `postgres-<major>` in vitest.config.ts provide it.
     */
    readonly enginePackage?: string;
    /** Where test files share engines and templates. Gone when all have run. */
    readonly enginesDirectory: string;
  }
}

export const ROOT_PASSWORD = "test-root-password-of-some-length-0123456789";

export interface ThrowawayHome {
  readonly directory: string;
  readonly engine: Engine;
  readonly template: string;
  /** Somebody without an entry in passwd, when this process may become them. */
  readonly owner: Owner | undefined;
  remove(): Promise<void>;
}

/**
 * A directory of its own; engine and template are shared, and run for instances of any user. The
 * engine is that of the npm package, or the newest there is.
 */
export async function throwawayHome(
  enginePackage = inject("enginePackage"),
): Promise<ThrowawayHome> {
  const directory = await mkdtemp(join(process.env["THROWAWAY_SERVERS"] ?? tmpdir(), "aerodb-"));
  await chmod(directory, 0o711);
  const shared = inject("enginesDirectory");
  const engine = await materializeEngine(await engineOf(enginePackage), join(shared, "engines"));
  const template = await ensureTemplate(engine, join(shared, "templates"), {
    rootPassword: ROOT_PASSWORD,
  });
  const owner = canChangeOwner() ? { uid: 70_001, gid: 70_001 } : undefined;
  const remove = () => rm(directory, { recursive: true, force: true });
  return { directory, engine, template, owner, remove };
}

function engineOf(embeddedPackage: string | undefined): Promise<Engine> {
  if (embeddedPackage === undefined) return findEngine();
  return findEngine({ embeddedPackage, systemDirectory: "/nowhere" });
}

/** A cloned and configured data directory, and what starts its server. */
export async function throwawayInstance(
  home: ThrowawayHome,
  name: string,
  shape: Partial<InstanceShape> = {},
): Promise<PostmasterSettings> {
  const { engine, owner, template } = home;
  const directory = join(home.directory, name);
  await mkdir(directory, { mode: 0o711 });
  const dataDirectory = join(directory, "data");
  const whose = owner === undefined ? {} : { owner };
  await cloneDataDirectory(template, dataDirectory, whose);
  const full: InstanceShape = {
    kind: "shared",
    engineMajor: engine.major,
    maxConnections: 20,
    memoryMiB: 256,
    ...shape,
  };
  await writeConfiguration(dataDirectory, full, owner);
  return {
    engine,
    dataDirectory,
    socketDirectory: join(directory, "socket"),
    lockFile: join(directory, "lock"),
    logFile: join(directory, "log"),
    ...whose,
  };
}

export interface ThrowawayServer {
  readonly settings: PostmasterSettings;
  readonly postmaster: Postmaster;
  remove(): Promise<void>;
}

/** A running instance with a home of its own. */
export async function throwawayServer(
  shape: Partial<InstanceShape> = {},
  enginePackage?: string,
): Promise<ThrowawayServer> {
  const home = await throwawayHome(enginePackage);
  const settings = await throwawayInstance(home, "i", shape);
  const postmaster = await startPostmaster(settings);
  return { settings, postmaster, remove };

  async function remove(): Promise<void> {
    await postmaster.stop("immediate");
    await home.remove();
  }
}
