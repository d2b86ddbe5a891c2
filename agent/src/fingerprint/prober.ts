/**
 * Finds facts out, each within a deadline: one that takes longer, or fails, is left out of the
 * fingerprint, and the log says why, once per reason.
 */
import { messageOf } from "@aerodb/model";
import { type Logger, within } from "@aerodb/runtime";

export interface ProberOptions {
  readonly logger: Logger;
  /** How long each may take. */
  readonly deadlineMs: number;
  /** What an earlier agent found out here: it holds for a probe that is late, as its own would. */
  readonly recalled?: ReadonlyMap<string, unknown>;
}

export class Prober {
  readonly #options: ProberOptions;
  /** What was found out last, by the name of the probe. */
  readonly #known: Map<string, unknown>;
  /** Names of what only an earlier agent found out so far. */
  readonly #recalled: Set<string>;
  readonly #running = new Map<string, Promise<unknown>>();
  /** Probes that nobody waits for any more, and those of them that have ended since. */
  readonly #late = new Set<string>();
  readonly #unclaimed = new Set<string>();
  readonly #reasons = new Map<string, string>();

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#known = new Map(options.recalled);
    this.#recalled = new Set(this.#known.keys());
  }

  /** What is known, by the name of the probe. */
  get known(): ReadonlyMap<string, unknown> {
    return this.#known;
  }

  /**
   * What a probe finds out; undefined when it fails. One that is only late says what it said
   * before: a busy machine is still the same machine. It goes on, is not begun a second time, and
   * what it finds is the next answer. With `reuse`, what is known is not found out again.
   */
  async probe<Value>(
    name: string,
    find: () => Promise<Value>,
    options: { readonly reuse?: boolean } = {},
  ): Promise<Value | undefined> {
    const isEnough = options.reuse === true && this.#isFound(name) && !this.#running.has(name);
    if (this.#unclaimed.delete(name) || isEnough) return this.#known.get(name) as Value | undefined;
    const found = (this.#running.get(name) ?? this.#begin(name, find)) as Promise<Value>;
    try {
      const value = await within({ ms: this.#options.deadlineMs, expecting: name }, found);
      this.#reasons.delete(name);
      return value;
    } catch (error) {
      if (this.#running.has(name)) this.#late.add(name);
      this.#explain(name, messageOf(error));
      return this.#known.get(name) as Value | undefined;
    }
  }

  /** Whether a probe is not ended yet that was waited for long enough. */
  get isLate(): boolean {
    return this.#late.size > 0;
  }

  /**
   * Resolves once one of the probes has ended that are late and of which nothing is known
   * but by an earlier agent; undefined when there is none. What hangs keeps nobody from what the
   * others found.
   */
  untilMoreIsKnown(): Promise<unknown> | undefined {
    const unknown = [...this.#late].filter((name) => !this.#isFound(name));
    if (unknown.length === 0) return undefined;
    const running = unknown.flatMap((name) => this.#running.get(name) ?? []);
    return Promise.race(running.map((each) => each.catch(() => undefined)));
  }

  #isFound(name: string): boolean {
    return this.#known.has(name) && !this.#recalled.has(name);
  }

  async #begin<Value>(name: string, find: () => Promise<Value>): Promise<Value> {
    const finding = find();
    this.#running.set(name, finding);
    try {
      const value = await finding;
      this.#known.set(name, value);
      if (this.#late.has(name)) this.#unclaimed.add(name);
      return value;
    } catch (error) {
      this.#known.delete(name);
      throw error;
    } finally {
      this.#recalled.delete(name);
      this.#running.delete(name);
      this.#late.delete(name);
    }
  }

  #explain(name: string, because: string): void {
    if (this.#reasons.get(name) === because) return;
    this.#reasons.set(name, because);
    this.#options.logger.warn({ because }, `could not find out ${name}`);
  }
}
