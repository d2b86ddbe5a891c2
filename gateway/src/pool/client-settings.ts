/**
 * Settings that a client has for itself and that go with it from server to server: what it asked
 * for at its start, and what servers report that it has changed since.
 */
import { quoteLiteral, type SessionSettings } from "@aerodb/postgres";

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

/** What literals of a statement are read under as it is prepared, and they stay as they were read. */
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
  return READ_UNDER.map((name) => {
    const value = settings.get(name);
    if (value === undefined) return `set local ${name} to default;`;
    return `select pg_catalog.set_config('${name}', ${quoteLiteral(value)}, true);`;
  }).join("");
}
