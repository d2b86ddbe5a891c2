import { DATABASE, METER_ROLE, POOL_ROLE, ROOT_ROLE, TENANTS_ROLE } from "./names.ts";

/** One line of pg_hba.conf. All are `local`: an instance listens on a socket only. */
export interface HbaRow {
  readonly database: string;
  /** A role, or `+role` for its members. */
  readonly user: string;
  readonly method: "scram-sha-256" | "reject";
}

const EVERYBODY_ELSE: HbaRow = { database: "all", user: "all", method: "reject" };
const ROOT_ANYWHERE: HbaRow = { database: "all", user: ROOT_ROLE, method: "scram-sha-256" };

/** Who may come into an instance that holds tenants. The platform comes in first, always. */
export const TENANT_HBA: readonly HbaRow[] = [
  ROOT_ANYWHERE,
  { database: DATABASE, user: METER_ROLE, method: "scram-sha-256" },
  { database: DATABASE, user: POOL_ROLE, method: "scram-sha-256" },
  { database: DATABASE, user: `+${TENANTS_ROLE}`, method: "scram-sha-256" },
  EVERYBODY_ELSE,
];

/** Who may come into the catalogue. */
export const CATALOGUE_HBA: readonly HbaRow[] = [ROOT_ANYWHERE, EVERYBODY_ELSE];

/** Renders rows in their order: Postgres obeys the first that matches. */
export function renderHba(rows: readonly HbaRow[]): string {
  const lines = rows.map(({ database, user, method }) => {
    return `local ${checked(database)} ${checked(user)} ${method}\n`;
  });
  return lines.join("");
}

/** A name that needs no quoting cannot be mistaken for a keyword list, a pattern or a file. */
function checked(name: string): string {
  if (!/^\+?[a-z][a-z0-9_]*$/.test(name)) throw new Error(`bug: ${name} in pg_hba.conf`);
  return name;
}
