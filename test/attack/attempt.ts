/** How an attempt comes out. */
import pg from "pg";
import type { AttackCase, Scene } from "./attack-case.ts";

/** Runs statements, and says what came of the last one. */
export async function outcomeOf(client: pg.Client, text: string): Promise<string> {
  try {
    const results: unknown = await client.query(text);
    const last = (Array.isArray(results) ? results.at(-1) : results) as pg.QueryResult;
    if (last.rowCount === null) return "done";
    return last.rowCount > 0 ? "some" : "none";
  } catch (error) {
    return codeOf(error);
  }
}

/** The SQLSTATE with which somebody was refused. */
export function codeOf(error: unknown): string {
  const { code, cause } = error as pg.DatabaseError;
  if (error instanceof pg.DatabaseError) return code ?? "";
  if (cause instanceof Error) return codeOf(cause);
  throw error;
}

/** The same in a transaction, which is undone, and so is what outlasts one. */
export async function undone(client: pg.Client, text: string): Promise<string> {
  try {
    return await outcomeOf(client, `begin; ${text}`);
  } finally {
    await client.query("rollback; deallocate all");
  }
}

/** In a session that is opened for it, and opened as the attacker would. */
export async function inNewSession(
  scene: Scene,
  text: string,
  over: pg.ClientConfig = {},
): Promise<string> {
  let client: pg.Client;
  try {
    client = await scene.attacker.connect(over);
  } catch (error) {
    return codeOf(error);
  }
  try {
    return await undone(client, filled(text, scene));
  } finally {
    await client.end();
  }
}

/** A statement with the names that are meant. */
export function filled(text: string, { names }: Scene): string {
  return text.replaceAll(/\{([a-z_]+)\}/g, (whole, name: string) => names[name] ?? whole);
}

/** Makes the attack of a case, and leaves nothing of it. */
export function attempted({ attack, alone }: AttackCase, scene: Scene): Promise<string> {
  if (typeof attack === "function") return attack(scene);
  const text = filled(attack, scene);
  return alone ? outcomeOf(scene.client, text) : undone(scene.client, text);
}
