/** Which instances this host has served, on disk: the data of those is never made anew, empty. */
import { type InstanceId, isId } from "@aerodb/model";
import type { Ledger } from "@aerodb/runtime";

/** A `Set` does where nothing needs to last. */
export interface KeptSet {
  has(id: InstanceId): boolean;
  add(id: InstanceId): unknown;
  delete(id: InstanceId): unknown;
}

/** How the ledger calls them. */
const KIND = "kept";
const NOTHING = new Uint8Array();

export class KeptInstances implements KeptSet {
  readonly #ledger: Ledger;
  readonly #ids: Set<InstanceId>;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
    const entries = ledger.entries().filter(({ kind }) => kind === KIND);
    this.#ids = new Set(entries.flatMap(({ id }) => (isId("ins", id) ? [id] : [])));
  }

  has(id: InstanceId): boolean {
    return this.#ids.has(id);
  }

  /** On disk when it returns. */
  add(id: InstanceId): void {
    if (this.#ids.has(id)) return;
    this.#ledger.note({ kind: KIND, id, generation: 0n, body: NOTHING });
    this.#ids.add(id);
  }

  delete(id: InstanceId): void {
    this.#ledger.forget(KIND, id);
    this.#ids.delete(id);
  }
}
