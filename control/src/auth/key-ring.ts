import { createHash } from "node:crypto";
import { monotonicMs } from "@aerodb/runtime";
import { parseScope, type Scope } from "./scope.ts";

/** Who calls, as far as their key says. */
export interface Principal {
  /** Id of the key. */
  readonly id: string;
  readonly scopes: readonly Scope[];
}

/** Finds the key in force that is presented; undefined when there is none. */
export type FindKey = (
  presented: string,
) => Promise<{ readonly id: string; readonly scopes: readonly string[] } | undefined>;

/** A revoked key stops working within a second, so what was read is believed for less. */
const BELIEVED_MS = 900;
/** Flooding with made-up keys forgets what was read and costs no more memory than this. */
const MOST_REMEMBERED = 10_000;
const LONGEST_KEY = 512;

interface Remembered {
  readonly readAtMs: number;
  readonly principal: Promise<Principal | undefined>;
}

/** Tells who a presented key belongs to. Keeps only hashes of keys. */
export class KeyRing {
  readonly #find: FindKey;
  readonly #remembered = new Map<string, Remembered>();

  constructor(find: FindKey) {
    this.#find = find;
  }

  /** Who presents this key; undefined when nobody we know. */
  async identify(key: string): Promise<Principal | undefined> {
    if (key === "" || key.length > LONGEST_KEY) return undefined;
    const sha256 = createHash("sha256").update(key).digest("hex");
    const remembered = this.#remembered.get(sha256);
    if (remembered !== undefined && monotonicMs() - remembered.readAtMs < BELIEVED_MS) {
      return remembered.principal;
    }
    if (this.#remembered.size >= MOST_REMEMBERED) this.#remembered.clear();
    const principal = this.#read(key);
    this.#remembered.set(sha256, { readAtMs: monotonicMs(), principal });
    // What could not be read is asked again the next time.
    principal.catch(() => this.#remembered.delete(sha256));
    return principal;
  }

  async #read(key: string): Promise<Principal | undefined> {
    const found = await this.#find(key);
    if (found === undefined) return undefined;
    const scopes = found.scopes.map(parseScope).filter((scope) => scope !== undefined);
    return { id: found.id, scopes };
  }
}
