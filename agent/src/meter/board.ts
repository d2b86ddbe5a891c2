import { entriesOfReadings, kindOfMetric, type MetricName, type Readings } from "@aerodb/model";
import { type Measured, subjectOf } from "./measured.ts";

/** What is known of one subject since the agent came up. */
export interface BoardRow {
  readonly measured: Measured;
  /** Counters added up, gauges as they are. */
  readonly totals: Readings;
}

/** The newest of everything that is measured, for whoever comes by and looks. */
export class Board {
  readonly #rows = new Map<string, BoardRow>();

  take(measured: Measured): void {
    const subject = subjectOf(measured);
    const totals: Partial<Record<MetricName, number>> = { ...this.#rows.get(subject)?.totals };
    for (const [name, value] of entriesOfReadings(measured.readings)) {
      const adds = kindOfMetric(name) === "counter";
      totals[name] = adds ? (totals[name] ?? 0) + value : value;
    }
    this.#rows.set(subject, { measured, totals });
  }

  rows(): Iterable<BoardRow> {
    return this.#rows.values();
  }

  /** Drops instances that run no more, and their tenants. */
  keep(isRunning: (instanceId: string) => boolean): void {
    for (const [subject, { measured }] of this.#rows) {
      const { instanceId } = measured;
      if (instanceId !== undefined && !isRunning(instanceId)) this.#rows.delete(subject);
    }
  }
}
