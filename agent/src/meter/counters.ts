import { entriesOfReadings, type MetricName, type Readings } from "@aerodb/model";

/** Turns sums into what was added since the last time they were read. */
export class Counters {
  #last: Readings = {};

  /**
   * What was added. The first time a sum is seen says nothing; one that has shrunk began anew. Of
   * sums that were not read this time nothing is said, and the next time covers both.
   */
  advance(sums: Readings): Readings {
    const added: Partial<Record<MetricName, number>> = {};
    for (const [name, sum] of entriesOfReadings(sums)) {
      const last = this.#last[name];
      if (last !== undefined) added[name] = sum < last ? sum : sum - last;
    }
    this.#last = { ...this.#last, ...sums };
    return added;
  }
}
