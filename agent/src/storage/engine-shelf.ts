import { join } from "node:path";
import {
  type Engine,
  type EngineSearch,
  ensureTemplate,
  findEngine,
  materializeEngine,
  requireEngine,
} from "@aerodb/postgres";

/** An engine that instances can run, and the data directory that they start from. */
export interface ReadyEngine {
  readonly engine: Engine;
  readonly template: string;
}

/** Makes engines and templates ready once per major version, when they are first asked for. */
export class EngineShelf {
  readonly #directory: string;
  readonly #search: EngineSearch;
  readonly #rootPassword: string;
  readonly #ready = new Map<number, Promise<ReadyEngine>>();

  constructor(options: {
    readonly directory: string;
    readonly search: EngineSearch;
    readonly rootPassword: string;
  }) {
    this.#directory = options.directory;
    this.#search = options.search;
    this.#rootPassword = options.rootPassword;
  }

  ready(major: number): Promise<ReadyEngine> {
    const known = this.#ready.get(major);
    if (known !== undefined) return known;
    const making = this.#make(major);
    this.#ready.set(major, making);
    // What failed is tried again by whoever asks next.
    making.catch(() => this.#ready.delete(major));
    return making;
  }

  /**
   * The engine as it is on disk now. Asked before every start: throws UNAVAILABLE when it may not
   * serve, as one under the version floor in production.
   */
  allowed(engine: Engine): Promise<Engine> {
    return requireEngine(engine, this.#search);
  }

  async #make(major: number): Promise<ReadyEngine> {
    const found = await findEngine({ ...this.#search, major });
    const engine = await materializeEngine(found, this.#directory);
    const rootPassword = this.#rootPassword;
    const template = await ensureTemplate(engine, join(this.#directory, "templates"), {
      rootPassword,
      tablespace: true,
    });
    return { engine, template };
  }
}
