/**
 * Prepared statements of the clients of a pool. Clients that prepare the same text share one name
 * on servers, so a server keeps it once: unless they read its literals otherwise.
 */
import type { Reading } from "./client-settings.ts";
import { type Effects, effectsOf } from "./effects.ts";

export interface Statement {
  /** What servers know it by. */
  readonly name: string;
  /** What Parse says after the name: the text and the types of parameters. */
  readonly body: Buffer;
  /** What its literals are read under. */
  readonly reading: Reading;
  /** What it may do each time that it is used. */
  readonly effects: Effects;
}

export class Statements {
  readonly #byBody = new Map<string, Statement & { users: number }>();
  #made = 0;

  /** For one client; to be left as often as it is taken. */
  take(body: Buffer, reading: Reading): Statement {
    const key = keyOf(body, reading);
    const held = this.#byBody.get(key);
    if (held !== undefined) {
      held.users += 1;
      return held;
    }
    const effects = effectsOf(body);
    const name = this.nextName();
    const made = { name, body: Buffer.from(body), reading, users: 1, effects };
    this.#byBody.set(key, made);
    return made;
  }

  /** A name that no statement of the pool has had. */
  nextName(): string {
    this.#made += 1;
    return `aerodb_${this.#made}`;
  }

  leave({ body, reading }: Statement): void {
    const key = keyOf(body, reading);
    const held = this.#byBody.get(key);
    if (held === undefined) return;
    held.users -= 1;
    if (held.users === 0) this.#byBody.delete(key);
  }
}

function keyOf(body: Buffer, { key }: Reading): string {
  return `${key}\0${body.toString("latin1")}`;
}
