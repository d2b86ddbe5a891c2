/**
 * What the pool believes that a server has prepared, and what it had better have it forget before
 * the next client: a statement that is not what it is taken to be stores wrong data.
 */
import { FORGET_STATEMENTS } from "@aerodb/postgres";
import type { Effects } from "./effects.ts";

/** More of them than this take a server's memory; the one that was used longest ago goes. */
const MOST_STATEMENTS = 256;

export class ServerStatements {
  /** The one that was used last is last. */
  readonly #known = new Set<string>();
  /** What was parsed since the last client left. */
  readonly #fresh = new Set<string>();
  #unsettled = false;
  #unsure = false;

  has(name: string): boolean {
    return this.#known.has(name);
  }

  /** Whether the server has it; from now on it was used last. */
  use(name: string): boolean {
    if (!this.#known.delete(name)) return false;
    this.#known.add(name);
    return true;
  }

  /** Returns the one that has to go for it. `doubtful`: if literals may be read otherwise. */
  add(name: string, doubtful = true): string | undefined {
    const [oldest] = this.#known.size < MOST_STATEMENTS ? [] : this.#known;
    if (oldest !== undefined) this.#known.delete(oldest);
    this.#known.add(name);
    if (doubtful) this.#fresh.add(name);
    return oldest;
  }

  /** What was to go is still there. */
  keep(name: string): void {
    this.#known.add(name);
  }

  delete(name: string): void {
    this.#known.delete(name);
  }

  clear(): void {
    this.#known.clear();
  }

  /** Something was asked that may change what is prepared, or how it is read. */
  note({ unsettles, hides }: Pick<Effects, "unsettles" | "hides">): void {
    if (unsettles) this.#unsettled = true;
    if (hides) this.#unsure = true;
  }

  /** Its client leaves. Returns what the server is to forget, as SQL. */
  leave(): string | undefined {
    const doubted = this.#unsettled ? [...this.#fresh].filter((name) => this.has(name)) : [];
    const unsure = this.#unsure;
    this.#fresh.clear();
    this.#unsettled = false;
    this.#unsure = false;
    if (unsure) {
      this.#known.clear();
      return FORGET_STATEMENTS;
    }
    for (const name of doubted) this.#known.delete(name);
    return doubted.length === 0 ? undefined : `deallocate ${doubted.join("; deallocate ")}`;
  }
}
