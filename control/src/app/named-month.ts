/** Months as callers name them. What is no month, or has not begun, is refused. */
import { type CalendarMonth, Fault, monthOf, parseMonth } from "@aerodb/model";

export function requireMonth(text: string): CalendarMonth {
  const month = parseMonth(text);
  if (month !== undefined) return month;
  throw refused(`${JSON.stringify(text)} is no month: write it as in 2026-01.`);
}

/** A month of which there can be something to tell; empty names the running one. */
export function requireBegun(text: string, nowAt: Date): CalendarMonth {
  const month = text === "" ? monthOf(nowAt) : requireMonth(text);
  if (month.startsAt <= nowAt) return month;
  throw refused(`${text} has not begun: nothing is known of it.`);
}

function refused(sentence: string): Fault {
  return new Fault("INVALID_ARGUMENT", sentence);
}
