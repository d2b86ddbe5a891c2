/**
 * What waits to be answered, in order. Clients choose how much that is, and `shift` of an array
 * moves all that is left once that is much: seconds, for 100,000 messages of one client.
 */
export class Line<T> implements Iterable<T> {
  #items: (T | undefined)[] = [];
  /** How many of the first were taken already. */
  #taken = 0;

  get length(): number {
    return this.#items.length - this.#taken;
  }

  get first(): T | undefined {
    return this.#items[this.#taken];
  }

  get last(): T | undefined {
    return this.length === 0 ? undefined : this.#items.at(-1);
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Takes the first. */
  shift(): T | undefined {
    if (this.length <= 1) return this.#takeLast();
    const { first } = this;
    this.#items[this.#taken] = undefined;
    this.#taken += 1;
    // Half at a time: so each is moved once.
    if (this.#taken * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#taken);
      this.#taken = 0;
    }
    return first;
  }

  /** Most wait alone: for one nothing is made anew. */
  #takeLast(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items.pop();
    if (this.#taken > 0) this.#items = [];
    this.#taken = 0;
    return item;
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let at = this.#taken; at < this.#items.length; at += 1) yield this.#items[at] as T;
  }
}
