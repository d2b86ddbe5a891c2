/** Attacks that need a whole platform: its doors, its API, its files and processes. */
import pg from "pg";
import type { Platform } from "../platform.ts";
import type { Tenant } from "../platform-client.ts";
import { codeOf } from "./attempt.ts";

export interface Stage {
  readonly platform: Platform;
  /** Two tenants of one shared instance, and two with an instance each. */
  readonly attacker: Tenant;
  readonly victim: Tenant;
  readonly first: Tenant;
  readonly second: Tenant;
  /** A key that may do everything with the attacker and nothing else. */
  readonly key: string;
}

export interface PlatformCase {
  readonly id: string;
  readonly attack: (stage: Stage) => Promise<string>;
  readonly safe: readonly string[];
  /** Whether other users than root's are needed. */
  readonly asRoot?: true;
}

type Attack = PlatformCase["attack"];

/** Cases of a family; each is safe when it comes to one of these. */
export function platformFamily(
  name: string,
  safe: readonly string[],
  entries: Readonly<Record<string, Attack | Omit<Partial<PlatformCase>, "id">>>,
): readonly PlatformCase[] {
  return Object.entries(entries).map(([what, entry]) => {
    const rest = typeof entry === "function" ? { attack: entry } : entry;
    const attack = rest.attack ?? (() => Promise.reject(new Error(`bug: ${what} does nothing`)));
    return { safe, ...rest, attack, id: `${name}.${what}` };
  });
}

/** Connects as the attacker but for what is said, and says how that was refused. */
export async function knock(
  { attacker }: Stage,
  over: pg.ClientConfig & { readonly replication?: string },
): Promise<string> {
  const { host, port, database, user, password } = attacker.connection;
  const client = new pg.Client({ host, port, database, user, password, ...over });
  client.on("error", () => undefined);
  try {
    await client.connect();
  } catch (error) {
    return codeOf(error);
  }
  await client.end();
  return "in";
}
