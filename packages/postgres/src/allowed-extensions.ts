/** Extensions that a tenant may have, as data. */
export interface AllowedExtension {
  readonly name: string;
  /** Those that must be there before it. */
  readonly requires?: readonly string[];
}

/**
 * Of what comes with Postgres, what computes on values and indexes them. Not in it, on purpose:
 * whatever opens connections or files (dblink, postgres_fdw, file_fdw, adminpack), shows what is
 * under the tables (pageinspect, pg_buffercache, pg_walinspect), and languages that leave the
 * server.
 */
export const ALLOWED_EXTENSIONS: readonly AllowedExtension[] = [
  ...["btree_gin", "btree_gist", "citext", "cube"].map((name) => ({ name })),
  { name: "earthdistance", requires: ["cube"] },
  ...["dict_int", "fuzzystrmatch", "hstore", "intarray", "isn", "lo", "ltree"].map((name) => ({
    name,
  })),
  ...["pg_trgm", "pgcrypto", "seg", "tablefunc", "tcn"].map((name) => ({ name })),
  ...["tsm_system_rows", "tsm_system_time", "unaccent", "uuid-ossp"].map((name) => ({ name })),
];

export function isAllowedExtension(name: string): boolean {
  return ALLOWED_EXTENSIONS.some((each) => each.name === name);
}

/** These and what they require, each after what it requires. */
export function withRequired(names: readonly string[]): readonly string[] {
  const required = names.flatMap(
    (name) => ALLOWED_EXTENSIONS.find((each) => each.name === name)?.requires ?? [],
  );
  return [...new Set([...(required.length === 0 ? [] : withRequired(required)), ...names])];
}
