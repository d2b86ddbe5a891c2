/** A host for a bench: a driver with real servers, on a file system of its own. */
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { canChangeOwner, connectPlatform, type Owner } from "@aerodb/postgres";
import { newSecret, silent } from "@aerodb/runtime";
import type pg from "pg";
import type { RunningInstance } from "../../agent/src/drivers/driver.ts";
import { ProcessDriver } from "../../agent/src/drivers/process/process-driver.ts";
import type { InstanceSpec } from "../../agent/src/instance-spec.ts";
import { sampleSpec } from "../../agent/src/sample-spec.ts";
import { EngineShelf } from "../../agent/src/storage/engine-shelf.ts";
import { type InstancePlace, layoutOf, placeOf } from "../../agent/src/storage/layout.ts";
import {
  type ThrowawayFileSystem,
  throwawayFileSystem,
} from "../../agent/src/storage/throwaway-file-system.ts";

export type FileSystemType = Parameters<typeof throwawayFileSystem>[0];

/** What the smallest plan with instances of its own gives. */
const PLAN = { maxConnections: 100, memoryMiB: 128, cpuMillis: 100 };
const UIDS = { base: 64_000_000, count: 1_000 };
const STATEMENT_MS = 600_000;
const signal = AbortSignal.timeout(3_600_000);

export class BenchHost {
  readonly home: string;
  readonly rootPassword = newSecret();
  readonly shelf: EngineShelf;
  readonly driver: ProcessDriver;
  readonly #fileSystem: ThrowawayFileSystem;

  private constructor(fileSystem: ThrowawayFileSystem) {
    this.#fileSystem = fileSystem;
    this.home = join(fileSystem.directory, "home");
    const { home, rootPassword } = this;
    this.shelf = new EngineShelf({ directory: join(home, "engines"), search: {}, rootPassword });
    this.driver = new ProcessDriver({ home, shelf: this.shelf, uids: UIDS, logger: silent });
  }

  static async open(on: FileSystemType = "plain"): Promise<BenchHost> {
    const host = new BenchHost(await throwawayFileSystem(on));
    await mkdir(host.home, { mode: 0o711 });
    await host.driver.recover();
    await host.shelf.ready(18);
    return host;
  }

  place({ id }: Pick<InstanceSpec, "id">): InstancePlace {
    return placeOf(layoutOf(this.home), id);
  }

  spec(change: Partial<InstanceSpec> = {}): InstanceSpec {
    return sampleSpec({ ...PLAN, ...change });
  }

  /** A new instance that runs. */
  async launch(change: Partial<InstanceSpec> = {}): Promise<BenchInstance> {
    const spec = this.spec(change);
    await this.driver.make(spec);
    return { spec, running: await this.driver.start(spec, signal) };
  }

  start(spec: InstanceSpec): Promise<RunningInstance> {
    return this.driver.start(spec, signal);
  }

  make(spec: InstanceSpec): Promise<void> {
    return this.driver.make(spec);
  }

  connect({ socketDirectory }: Pick<RunningInstance, "socketDirectory">): Promise<pg.Client> {
    const { rootPassword: password } = this;
    return connectPlatform({ socketDirectory, password, statementTimeoutMs: STATEMENT_MS });
  }

  /** Whose the data of an instance is; undefined where all is this user's. */
  async ownerOf(spec: Pick<InstanceSpec, "id">): Promise<Owner | undefined> {
    if (!canChangeOwner()) return undefined;
    const { uid, gid } = await stat(this.place(spec).data);
    return { uid, gid };
  }

  /** Opens a session, asks one question and leaves. */
  async ask(where: Pick<RunningInstance, "socketDirectory">): Promise<void> {
    const client = await this.connect(where);
    await client.query("select 1");
    await client.end();
  }

  async destroy({ id }: Pick<InstanceSpec, "id">): Promise<void> {
    await this.driver.stop(id, "immediate");
    await this.driver.destroy(id);
  }

  async close(): Promise<void> {
    for (const found of await this.driver.list()) await this.destroy(found);
    await this.driver.release();
    await this.#fileSystem.remove();
  }
}

export interface BenchInstance {
  readonly spec: InstanceSpec;
  readonly running: RunningInstance;
}
