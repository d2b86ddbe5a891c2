/**
 * What the platform is attacked with, as data: a case has a stable id, `family.what`, the attack,
 * and every outcome that is safe.
 */
import type pg from "pg";
import type {
  ThrowawayTenant,
  WalledServer,
} from "../../packages/postgres/src/throwaway-tenant.ts";

export type Model = "schema" | "database";

/** Where attacks on an instance take place: its server, the attacker, and who else lives there. */
export interface Scene {
  readonly model: Model;
  readonly major: number;
  readonly walled: WalledServer;
  readonly attacker: ThrowawayTenant;
  /** The neighbour, or in a server of its own the attacker itself. */
  readonly victim: ThrowawayTenant;
  /** Sessions of the two. */
  readonly client: pg.Client;
  readonly theirs: pg.Client;
  /** What statements may name in braces. */
  readonly names: Readonly<Record<string, string>>;
}

/**
 * SQL of the attacker, in which `{self}` and `{neighbour}` are names; or what does it and says how
 * it came out.
 */
export type Attack = string | ((scene: Scene) => Promise<string>);

export interface AttackCase {
  readonly id: string;
  readonly models: readonly Model[];
  readonly attack: Attack;
  /**
   * A SQLSTATE; of what is not refused `none` for no row, `some` for at least one, `done` for a
   * statement without rows.
   */
  readonly safe: readonly string[];
  /** Whether the SQL is one that runs in no transaction, and is refused before it does anything. */
  readonly alone?: true;
  /** The first and the last major that it can be tried on. */
  readonly since?: number;
  readonly until?: number;
  /** How the sentence begins that says in every report what stock Postgres does not hide here. */
  readonly documented?: string;
}

type Options = Omit<Partial<AttackCase>, "id" | "attack">;
export type Entry = Attack | (Options & { readonly attack: Attack });

export const DENIED = "42501";
export const BOTH: readonly Model[] = ["schema", "database"];

/** Cases of a family; what an entry does not say is as the options say, and refusal is safe. */
export function family(
  name: string,
  options: Options,
  entries: Readonly<Record<string, Entry>>,
): readonly AttackCase[] {
  return Object.entries(entries).map(([what, entry]) => ({
    models: ["schema"],
    safe: [DENIED],
    ...options,
    ...(typeof entry === "object" ? entry : { attack: entry }),
    id: `${name}.${what}`,
  }));
}
