interface Waiting {
  readonly importance: number;
  readonly enter: () => void;
}

/**
 * Lets at most `width` pieces of work run at once. The others wait: the most important first, and
 * among equals in the order they came.
 */
export class Gate {
  #free: number;
  /** By falling importance. */
  readonly #waiting: Waiting[] = [];

  constructor(width: number) {
    this.#free = width;
  }

  async pass<Value>(work: () => Promise<Value>, importance = 0): Promise<Value> {
    await this.#enter(importance);
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  #enter(importance: number): Promise<void> | undefined {
    if (this.#free > 0) {
      this.#free -= 1;
      return undefined;
    }
    return new Promise((enter) => {
      this.#waiting.splice(this.#placeOf(importance), 0, { importance, enter });
    });
  }

  /** Where a newcomer stands: behind all that are as important. Found by halving. */
  #placeOf(importance: number): number {
    let from = 0;
    let to = this.#waiting.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      const { importance: held } = this.#waiting[middle] as Waiting;
      if (held >= importance) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next.enter();
  }
}
