/**
 * What the functions and event triggers of the platform must be, read from the statements that make
 * them: there is no second list that could say something else.
 */
import { createHash } from "node:crypto";
import { EXTENSION_WALL } from "../extension-wall.ts";
import { quoteLiteral } from "../identifier.ts";
import { requestDoor, WALL_FUNCTIONS } from "../wall-functions.ts";
import { TRIGGERS_EVERYWHERE, WALL_TRIGGERS } from "../wall-triggers.ts";
import { WRITES_FUNCTIONS } from "../writes-wall.ts";

interface ExpectedFunction {
  readonly schema: string;
  readonly name: string;
  /** SHA-256 of its source, as Postgres keeps it; of a parsed one, of what Postgres writes out. */
  readonly hash: string;
  /** Whether it must be there in an instance of one tenant too. */
  readonly everywhere: boolean;
  /** Whether it runs with a search path of its own. Where not, its source names all in full. */
  readonly pinned: boolean;
}

interface ExpectedTrigger {
  readonly name: string;
  readonly event: string;
  readonly tags: readonly string[];
  readonly calls: string;
  readonly everywhere: boolean;
}

const FUNCTION = /^create (?:or replace )?function "(?<schema>\w+)"\.(?<name>\w+)\(/;
const SOURCE = /\$(?<tag>\w+)\$(?<source>.*)\$\k<tag>\$;?$/;
const TRIGGER =
  /^create event trigger (?<name>\w+) on (?<event>\w+) when tag in \((?<tags>[^)]*)\)/;
const CALLED = /execute function "(?<schema>\w+)"\.(?<called>\w+)\(\);$/;
const SOME_TENANT = "ten_00000000000000000000000000";
/** How Postgres writes out what it parsed; the same in every major from 15 to 18. */
const CURRENT_TENANT =
  "RETURN CASE WHEN (current_setting('app.tenant_id'::text, true) = CASE " +
  "WHEN (SESSION_USER = 'aerodb_pool'::name) THEN (CURRENT_USER)::text " +
  "ELSE (SESSION_USER)::text END) THEN current_setting('app.tenant_id'::text, true) " +
  "ELSE NULL::text END";

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function expectedFunctions(forced: boolean): readonly ExpectedFunction[] {
  const parsed = [
    { name: "current_tenant", source: CURRENT_TENANT },
    { name: "forces_row_security", source: `RETURN ${forced}` },
  ].map(({ name, source }) => ({
    ...{ schema: "aerodb", name, hash: sha256(source), everywhere: false, pinned: false },
  }));
  const statements = [
    ...[...WALL_FUNCTIONS, ...WRITES_FUNCTIONS],
    ...[...WALL_TRIGGERS, ...EXTENSION_WALL],
  ];
  const written = statements.flatMap((statement) => {
    const { schema, name } = FUNCTION.exec(statement)?.groups ?? {};
    const { source } = SOURCE.exec(statement)?.groups ?? {};
    if (schema === undefined || name === undefined || source === undefined) return [];
    const everywhere =
      EXTENSION_WALL.includes(statement) ||
      WRITES_FUNCTIONS.includes(statement) ||
      [...TRIGGERS_EVERYWHERE, "refuse"].includes(name);
    const pinned = statement.includes("set search_path = pg_catalog, pg_temp");
    return [{ schema, name, hash: sha256(source), everywhere, pinned }];
  });
  return [...parsed, ...written];
}

const EXPECTED_TRIGGERS: readonly ExpectedTrigger[] = [...WALL_TRIGGERS, ...EXTENSION_WALL].flatMap(
  (statement) => {
    const { name, event, tags } = TRIGGER.exec(statement)?.groups ?? {};
    const { schema, called } = CALLED.exec(statement)?.groups ?? {};
    if (name === undefined || event === undefined || tags === undefined) return [];
    const everywhere =
      EXTENSION_WALL.includes(statement) || TRIGGERS_EVERYWHERE.includes(called ?? "");
    const each = tags.split(", ").map((tag) => tag.slice(1, -1));
    return [{ name, event, tags: each, calls: `${schema}.${called}`, everywhere }];
  },
);

/**
 * The door of pooled requests, which is the same for every tenant but for its name and its search
 * path.
 */
export const DOOR_HASH = sha256(
  SOURCE.exec(requestDoor(SOME_TENANT)[0] ?? "")?.groups?.["source"] ?? "",
);

/** Rows for a list of values. */
export function functionRows(forced: boolean): string {
  return expectedFunctions(forced)
    .map(({ schema, name, hash, everywhere, pinned }) => {
      return `(${[schema, name, hash].map(quoteLiteral).join(", ")}, ${everywhere}, ${pinned})`;
    })
    .join(", ");
}

export function triggerRows(): string {
  return EXPECTED_TRIGGERS.map(({ name, event, tags, calls, everywhere }) => {
    const words = [name, event, calls].map(quoteLiteral).join(", ");
    return `(${words}, array[${tags.map(quoteLiteral).join(", ")}], ${everywhere})`;
  }).join(", ");
}
