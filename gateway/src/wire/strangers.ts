/**
 * Who has not proven yet who they are, at most so many. When there is no room left, whoever comes
 * from an address takes the place of one of the address that holds most of it: a flood from some
 * addresses costs those, and keeps nobody else out.
 */
export class Strangers<Connection> {
  readonly #most: number;
  /** Of each address the connections and how to end them, oldest first. */
  readonly #byAddress = new Map<string, Map<Connection, () => void>>();
  #size = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#size;
  }

  /** Whether there is room for one of an address; another may be ended for it. */
  makeRoom(address: string): boolean {
    if (this.#size < this.#most) return true;
    let fullest = address;
    let held = this.#byAddress.get(address)?.size ?? 0;
    for (const [each, { size }] of this.#byAddress) {
      if (size > held) [fullest, held] = [each, size];
    }
    const [oldest] = fullest === address ? [] : (this.#byAddress.get(fullest) ?? []);
    if (oldest === undefined) return false;
    const [connection, end] = oldest;
    // It may take its time to be gone: its place is free at once.
    this.#remove(fullest, connection);
    end();
    return true;
  }

  /** One begins to say who it is. To be called back once it has, or is gone. */
  enter(address: string, connection: Connection, end: () => void): () => void {
    const own = this.#byAddress.get(address) ?? new Map<Connection, () => void>();
    this.#byAddress.set(address, own.set(connection, end));
    this.#size += 1;
    return () => this.#remove(address, connection);
  }

  endAll(): void {
    for (const own of this.#byAddress.values()) for (const end of own.values()) end();
  }

  #remove(address: string, connection: Connection): void {
    const own = this.#byAddress.get(address);
    if (own?.delete(connection) !== true) return;
    this.#size -= 1;
    if (own.size === 0) this.#byAddress.delete(address);
  }
}
