/** The settings that a server of a pool has for whom it works, or has worked for last. */
import { changeSessionSettings, type SessionSettings } from "@aerodb/postgres";
import { encodeParameterStatus } from "../wire/messages.ts";
import { keyOf, timesOf } from "./client-settings.ts";

export class ServerSettings {
  readonly #has = new Map<string, string>();
  /** All that it has reported. */
  readonly #reported = new Map<string, string>();
  #key = "";
  #times = "";

  /** Equal for those that are equal. */
  get key(): string {
    return this.#key;
  }

  /** Of those that end what takes too long. */
  get times(): string {
    return this.#times;
  }

  /** What a client is told of them. */
  get greeting(): Buffer {
    return Buffer.concat([...this.#reported].map((each) => encodeParameterStatus(...each)));
  }

  /** Takes over those of a client. Returns the statements for that. */
  change(settings: SessionSettings, key: string): string {
    const statements = changeSessionSettings(settings, this.#has);
    this.forget();
    for (const [name, value] of settings) this.#has.set(name, value);
    this.#key = key;
    this.#times = timesOf(settings);
    return statements;
  }

  /** It has none but its own. */
  forget(): void {
    this.#has.clear();
    this.#key = "";
    this.#times = "";
  }

  /** It reports one. */
  report(name: string, value: string): void {
    this.#reported.set(name, value);
  }

  /** Its client has changed one that goes with the client. */
  set(name: string, value: string): void {
    this.#has.set(name, value);
    this.#key = keyOf(this.#has);
  }
}
