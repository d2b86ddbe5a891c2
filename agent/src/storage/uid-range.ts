import { Fault, type InstanceId } from "@aerodb/model";
import { canChangeOwner, type Owner } from "@aerodb/postgres";

/**
 * Users that instances run as when the agent is root: each has its own, and nobody else uses it.
 */
export class UidRange {
  readonly #base: number;
  readonly #count: number;
  readonly #byInstance = new Map<InstanceId, number>();
  readonly #used = new Set<number>();
  /** Somebody else's, by an entry in passwd or a process: never given to an instance. */
  #foreign: ReadonlySet<number> = new Set();

  constructor(range: { readonly base: number; readonly count: number }) {
    this.#base = range.base;
    this.#count = range.count;
  }

  /** Notes which users of the range are somebody else's. */
  avoid(foreign: ReadonlySet<number>): void {
    this.#foreign = foreign;
  }

  /** Notes the user of an instance that is on disk. */
  note(id: InstanceId, uid: number): void {
    this.#byInstance.set(id, uid);
    this.#used.add(uid);
  }

  /**
   * The user of an instance, a new one if it has none; undefined when all run as the agent's user.
   */
  reserve(id: InstanceId): Owner | undefined {
    if (!canChangeOwner()) return undefined;
    const held = this.#byInstance.get(id);
    if (held !== undefined) return { uid: held, gid: held };
    for (let uid = this.#base; uid < this.#base + this.#count; uid += 1) {
      if (this.#used.has(uid) || this.#foreign.has(uid)) continue;
      this.note(id, uid);
      return { uid, gid: uid };
    }
    const last = this.#base + this.#count - 1;
    throw new Fault("UNAVAILABLE", `All users from ${this.#base} to ${last} are taken.`);
  }

  /** The instance is gone with all its files. */
  free(id: InstanceId): void {
    const uid = this.#byInstance.get(id);
    this.#byInstance.delete(id);
    if (uid !== undefined) this.#used.delete(uid);
  }
}
