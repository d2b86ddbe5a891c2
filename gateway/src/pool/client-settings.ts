/**
 * Settings that a client has for itself and that go with it from server to server: what it asked
 * for at its start, and what servers report that it has changed since.
 */
import { applySettings, type SessionSettings } from "@aerodb/postgres";
import { HEAD_BYTES, textAt } from "../wire/messages.ts";

/** What servers report, and a client may change. Lower case. */
const FOLLOWED: ReadonlySet<string> = new Set([
  "application_name",
  "client_encoding",
  "datestyle",
  "default_transaction_read_only",
  "intervalstyle",
  "search_path",
  "standard_conforming_strings",
  "timezone",
]);

export function isFollowed(name: string): boolean {
  return FOLLOWED.has(name.toLowerCase());
}

/** Equal for settings that are equal. */
export function keyOf(settings: SessionSettings): string {
  if (settings.size === 0) return "";
  return JSON.stringify([...settings].sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** What ends a statement, or a session: also what the pool itself asks, and who comes next. */
const TIMES = ["idle_session_timeout", "statement_timeout", "transaction_timeout"] as const;

/** Equal for settings that end what takes too long alike; "" where none does. */
export function timesOf(settings: SessionSettings): string {
  const times = TIMES.filter((name) => settings.has(name));
  return keyOf(new Map(times.map((name) => [name, settings.get(name) ?? ""])));
}

/** What literals of a statement are read under as it is prepared. So they stay. */
const READ_UNDER = [
  ...["client_encoding", "datestyle", "intervalstyle", "lc_monetary"],
  ...["standard_conforming_strings", "timezone", "xmloption"],
] as const;

export interface Reading {
  readonly settings: SessionSettings;
  /** Equal for those that read literals alike. */
  readonly key: string;
}

export function readingOf(settings: SessionSettings): Reading {
  const names = READ_UNDER.filter((name) => settings.has(name));
  const read = new Map(names.map((name) => [name, settings.get(name) ?? ""]));
  return { settings: read, key: keyOf(read) };
}

export function isReadUnder(name: string): boolean {
  return READ_UNDER.some((each) => each === name.toLowerCase());
}

/** Statements that have the transaction that is open read literals so. */
export function readLocally({ settings }: Reading): string {
  const others = READ_UNDER.filter((name) => !settings.has(name));
  const defaults = others.map((name) => `set local ${name} to default;`).join("");
  return defaults + applySettings(settings, "transaction");
}

/** What opens a place where settings are others, and what undoes it but statements prepared. */
export function asideFrom(isInTransaction: boolean): readonly [string, string] {
  if (!isInTransaction) return ["begin", "rollback"];
  const undo = "rollback to savepoint aerodb_all; release savepoint aerodb_all";
  return ["savepoint aerodb_all", undo];
}

/** Settings that a client asked for at its start, and has again. */
export interface PutBack {
  readonly settings: SessionSettings;
  /** Whether they last no longer than the transaction. */
  readonly local: boolean;
}

const PUTS_BACK = new RegExp(
  [
    /\b(?:reset|discard)\s+(?:(all)\b|(time)\s+zone\b|"?(\w+))/,
    /\bset\s+(?:(?:session|local)\s+)?(time)\s+zone\s+(?:default|local)\b/,
    /\bset\s+(?:(?:session|local)\s+)?"?(\w+)"?\s*(?:=|\bto\b)\s*default\b/,
  ]
    .map(({ source }) => source)
    .join("|"),
  "gi",
);

/** Which of what a client asked for at its start a text gives it back. */
export function putBackBy(text: string, asked: SessionSettings): PutBack | undefined {
  const named = [...text.matchAll(PUTS_BACK)].flatMap(([, ...names]) => names.filter(Boolean));
  const names = new Set(named.map((name) => name.toLowerCase().replace(/^time$/, "timezone")));
  const settings = new Map([...asked].filter(([name]) => names.has("all") || names.has(name)));
  if (settings.size === 0) return undefined;
  return { settings, local: /\bset\s+local\b/i.test(text) };
}

/** Of what a server has reported, what is about some settings. It is spelled as servers do. */
export function reportsOf(reports: Buffer, settings: SessionSettings): Buffer {
  const kept: Buffer[] = [];
  for (let at = 0; at < reports.length; ) {
    const end = at + 1 + reports.readUInt32BE(at + 1);
    const name = textAt(reports, at + HEAD_BYTES)?.text.toLowerCase() ?? "";
    if (settings.has(name)) kept.push(reports.subarray(at, end));
    at = end;
  }
  return Buffer.concat(kept);
}
