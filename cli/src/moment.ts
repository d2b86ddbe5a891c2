import { isCalendarDay } from "@aerodb/model";
import { now } from "@aerodb/runtime";
import { InvalidArgumentError } from "commander";
import { SECONDS_OF } from "./durations.ts";

/** RFC 3339 with a zone, or a day, which begins at midnight UTC. */
const MOMENT = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2}))?$/;

/** A moment as people type it: how long ago (`90s`, `15m`, `2h`, `3d`), or a time. */
export function parseMoment(text: string): Date {
  const [, digits, unit = ""] = /^([1-9][0-9]{0,5})([smhd])$/.exec(text) ?? [];
  const ago = Number(digits) * (SECONDS_OF[unit] ?? Number.NaN) * 1_000;
  const isTime = MOMENT.test(text) && isCalendarDay(text.slice(0, 10));
  const moment = isTime ? new Date(text) : new Date(now().getTime() - ago);
  if (!Number.isNaN(moment.getTime())) return moment;
  const forms = "90s, 15m, 2h or 3d ago, a day like 2026-11-30, or 2026-11-30T12:00:00Z";
  throw new InvalidArgumentError(`It must be a moment: ${forms}.`);
}
