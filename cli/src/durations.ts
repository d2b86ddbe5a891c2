/** Seconds of the units in which people type lengths of time. */
export const SECONDS_OF: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };
