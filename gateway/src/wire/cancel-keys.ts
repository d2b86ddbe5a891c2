/**
 * Keys by which clients cancel their queries. The gateway gives each session a key of its own, for
 * the same process id and secret may be in use on many instances.
 */
import { randomBytes, randomInt } from "node:crypto";
import type { BackendKey } from "@aerodb/postgres";

/** What a key of ours stands for. */
export interface CancelTarget {
  readonly instanceId: string;
  readonly key: BackendKey;
  /** Keeps what works for the client from going to another until the call of what is returned. */
  readonly reserve?: () => () => void;
  /**
   * Whether the question that is cancelled has no answer yet. Given where its server was handed it
   * just now: Postgres ignores a cancel that comes before it has read what is asked.
   */
  readonly unanswered?: (() => boolean) | undefined;
}

/** Told that a client cancels. Returns what works for it at the moment, if anything does. */
type Cancelled = () => CancelTarget | undefined;

/** A process id is a positive number of 31 bits; the first few say which gateway made the key. */
const RANDOM_IDS = 2 ** 25;
/** The number of a gateway that shares its ports with others. One that does not has 0. */
export const LARGEST_NUMBER = 63;
/** How long a secret is: before protocol 3.2 there is no choice. */
const SECRET_BYTES = { old: 4, new: 32 };
const LONG_SECRETS_MINOR = 2;

export class CancelKeys {
  readonly #targets = new Map<string, Cancelled>();
  readonly #number: number;

  /** `number`: of this gateway among those that share its ports. */
  constructor(number = 0) {
    this.#number = number;
  }

  /** Makes a key, as a minor of the protocol has them. */
  register(cancelled: Cancelled, minor: number): BackendKey {
    const secret = randomBytes(minor < LONG_SECRETS_MINOR ? SECRET_BYTES.old : SECRET_BYTES.new);
    const processId = this.#number * RANDOM_IDS + randomInt(1, RANDOM_IDS);
    const key = { processId, secret };
    this.#targets.set(nameOf(key), cancelled);
    return key;
  }

  /** A client has shown a key to cancel. Returns what is to be told. */
  take(key: BackendKey): CancelTarget | undefined {
    return this.#targets.get(nameOf(key))?.();
  }

  forget(key: BackendKey): void {
    this.#targets.delete(nameOf(key));
  }
}

/** Number of the gateway that made a key. */
export function numberIn({ processId }: BackendKey): number {
  return Math.floor(Math.max(0, processId) / RANDOM_IDS);
}

function nameOf(key: BackendKey): string {
  return `${key.processId}:${key.secret.toString("hex")}`;
}
