/** A month of the calendar in UTC: what is billed at once. */
export interface CalendarMonth {
  /** `2026-01` */
  readonly name: string;
  readonly startsAt: Date;
  /** The first instant that is not in it. */
  readonly endsAt: Date;
  readonly seconds: bigint;
}

export function monthOf(at: Date): CalendarMonth {
  return monthBy(at.getUTCFullYear(), at.getUTCMonth());
}

export function monthAfter({ endsAt }: CalendarMonth): CalendarMonth {
  return monthOf(endsAt);
}

/** Undefined when the text is no month as in `2026-01`. */
export function parseMonth(text: string): CalendarMonth | undefined {
  const [, year, month] = /^([12]\d{3})-(0[1-9]|1[0-2])$/.exec(text) ?? [];
  return year === undefined ? undefined : monthBy(Number(year), Number(month) - 1);
}

function monthBy(year: number, index: number): CalendarMonth {
  const startsAt = new Date(Date.UTC(year, index));
  const endsAt = new Date(Date.UTC(year, index + 1));
  return {
    name: startsAt.toISOString().slice(0, 7),
    startsAt,
    endsAt,
    seconds: secondOf(endsAt) - secondOf(startsAt),
  };
}

/** Whole seconds since the epoch: what comes within a second begins with it. */
export function secondOf(at: Date): bigint {
  return BigInt(Math.floor(at.getTime() / 1_000));
}
