/** Page tokens: where the page before ended, bound to the filters it was asked with. */
import { createHash } from "node:crypto";
import { Fault } from "@aerodb/model";

const MAX_PAGE_SIZE = 1_000;
const DEFAULT_PAGE_SIZE = 50;

export function pageSizeOf(asked: number | undefined): number {
  if (asked === undefined || asked === 0) return DEFAULT_PAGE_SIZE;
  if (Number.isInteger(asked) && asked > 0 && asked <= MAX_PAGE_SIZE) return asked;
  throw new Fault("INVALID_ARGUMENT", `page_size must be 1 to ${MAX_PAGE_SIZE}.`);
}

export function makePageToken(filters: readonly unknown[], last: string): string {
  return Buffer.from(JSON.stringify([digestOf(filters), last])).toString("base64url");
}

/** The id that the page before ended with; empty for the first page. Throws INVALID_PAGE_TOKEN. */
export function readPageToken(filters: readonly unknown[], token: string | undefined): string {
  if (token === undefined || token === "") return "";
  const [digest, last] = parse(token);
  if (digest === digestOf(filters) && typeof last === "string" && /^[a-z]+_\w+$/.test(last)) {
    return last;
  }
  throw new Fault(
    "INVALID_PAGE_TOKEN",
    "The page token is not one of this list with these filters: start again without one.",
  );
}

function parse(token: string): readonly unknown[] {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(token, "base64url").toString("utf8"));
    return Array.isArray(parsed) ? parsed : [];
  } catch {
    return [];
  }
}

function digestOf(filters: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(filters)).digest("base64url").slice(0, 12);
}
