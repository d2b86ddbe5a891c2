/** A host on which drivers work one after the other, as agents that come and go have them. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectPlatform } from "@aerodb/postgres";
import { within } from "@aerodb/runtime";
import type { Client } from "pg";
import { inject } from "vitest";
import type { InstanceDriver, RunningInstance } from "../../../agent/src/drivers/driver.ts";
import { FakeHost } from "../../../agent/src/drivers/fake-host.ts";
import type { InstanceSpec } from "../../../agent/src/instance-spec.ts";
import { type InstancePlace, layoutOf, placeOf } from "../../../agent/src/storage/layout.ts";
import { signal as send } from "../../processes.ts";
import { type DriverRecipe, openDriver } from "./driver-kinds.ts";
import type { LifeOrder } from "./driver-life.ts";

export interface DriverHost {
  /** The driver of an agent that starts now. */
  next(): Promise<InstanceDriver>;
  /** Ends a server from outside, at once. */
  kill(running: RunningInstance): void;
  close(): Promise<void>;
}

const LIFE_MS = 60_000;
/** One for all hosts of a run: they share templates, which hold its verifier. */
const ROOT_PASSWORD = "test-root-password-of-some-length-0123456789";

/** The fake outlives agents itself. */
export class FakeDriverHost implements DriverHost {
  readonly #host = new FakeHost({ room: 100 });

  async next(): Promise<InstanceDriver> {
    await this.#host.recover();
    return this.#host;
  }

  kill({ id }: RunningInstance): void {
    this.#host.kill(id);
  }

  async close(): Promise<void> {}
}

/** A directory of this machine, and real servers. */
export class RealDriverHost implements DriverHost {
  readonly recipe: DriverRecipe;
  readonly #stop = new AbortController();

  private constructor(recipe: DriverRecipe) {
    this.recipe = recipe;
  }

  static async open(
    how: Pick<DriverRecipe, "kind" | "uidBase"> & Partial<DriverRecipe>,
  ): Promise<RealDriverHost> {
    const home = await mkdtemp(join(tmpdir(), `${how.kind}-driver-`));
    await chmod(home, 0o711);
    const engines = join(inject("enginesDirectory"), "of-drivers");
    const made = { home, engines, rootPassword: ROOT_PASSWORD, dockerSocket: "" };
    const host = new RealDriverHost({ ...made, ...how });
    await host.next();
    return host;
  }

  async next(): Promise<InstanceDriver> {
    const driver = openDriver(this.recipe, this.#stop.signal);
    await driver.recover();
    return driver;
  }

  /** The same host as another kind of driver sees it. */
  async as(kind: DriverRecipe["kind"]): Promise<InstanceDriver> {
    return openDriver({ ...this.recipe, kind }, this.#stop.signal);
  }

  place({ id }: Pick<InstanceSpec, "id">): InstancePlace {
    return placeOf(layoutOf(this.recipe.home), id);
  }

  kill({ pid }: RunningInstance): void {
    send(pid, "SIGKILL");
  }

  connect({ socketDirectory }: RunningInstance): Promise<Client> {
    return connectPlatform({ socketDirectory, password: this.recipe.rootPassword });
  }

  /** What the first column of the answer holds. */
  async ask(running: RunningInstance, statement: string): Promise<unknown[]> {
    const client = await this.connect(running);
    try {
      const { rows } = await client.query({ text: statement, rowMode: "array" });
      return (rows as unknown[][]).map(([value]) => value);
    } finally {
      await client.end();
    }
  }

  /** Takes an instance through its life elsewhere; returns what ended the process that did it. */
  async liveElsewhere(spec: InstanceSpec, failpoint: string): Promise<NodeJS.Signals | undefined> {
    const child = fork(join(import.meta.dirname, "driver-life.ts"), { serialization: "advanced" });
    const order: LifeOrder = { recipe: this.recipe, spec, failpoint };
    child.send(order);
    const expecting = "an instance's life to end";
    const [code, signal] = await within({ ms: LIFE_MS, expecting }, once(child, "exit"));
    if (code !== null && code !== 0) throw new Error(`The life ended with code ${code}.`);
    return signal ?? undefined;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await rm(this.recipe.home, { recursive: true, force: true, maxRetries: 10 });
  }
}
