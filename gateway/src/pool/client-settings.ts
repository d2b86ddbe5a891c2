/**
 * Settings that a client has for itself and that go with it from server to server: what it asked
 * for at its start, and what servers report that it has changed since.
 */
import type { SessionSettings } from "@aerodb/postgres";

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
