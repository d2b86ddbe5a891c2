/**
 * What a client of a connection of its own has asked of its server: whether all of it is answered,
 * and what of it the session keeps without any question finding it there.
 */
import { type FrameReader, onlyTypes } from "./frames.ts";
import { JustAsked } from "./just-asked.ts";
import { Line } from "./line.ts";
import { CLIENT, HEAD_BYTES } from "./messages.ts";
import { bytesToName, UnnamedPortal } from "./unnamed-portal.ts";

/** Of a text no more is looked at. */
const READ_BYTES = 8_192;
/**
 * Settings with a dot in their name, which Postgres lists nowhere: by SET, with comments in between
 * or without, or by `set_config` unless that is for the transaction alone, or of a name that is
 * written there without one. A tenant chooses the text, so each place is looked at in one way only:
 * what can be taken in two costs twice the time for each more of it.
 */
const NAMES_OWN_SETTING = new RegExp(
  [
    /\bset\s*(?:session\s*)?(?:\/\*|--)/,
    /\bset\s+(?:session\s+)?(?:(?:u&)?"[^"]*"|[\w$]+)\s*(?:\/\*|--|\.)/,
    /\bset_config\s*\(\s*(?!'[^'.]*'\s*,)(?!'[^']*'\s*,[^()]*,\s*true\s*\))/,
  ]
    .map(({ source }) => source)
    .join("|"),
  "is",
);

const LOOKS_AT = onlyTypes(Object.values(CLIENT));
const NOTHING = onlyTypes([]);
/** What begins to be answered when it comes. */
export const ASKS = onlyTypes([CLIENT.query, CLIENT.functionCall, CLIENT.execute, CLIENT.sync]);
const OF_A_PORTAL = onlyTypes([CLIENT.execute, CLIENT.describe]);

export class Asked implements FrameReader {
  readonly looksAt = LOOKS_AT;
  readonly #pass: (bytes: Buffer) => void;
  readonly #goodbye: () => void;
  readonly #portal = new UnnamedPortal();
  readonly just = new JustAsked();
  /** Of each ReadyForQuery that is to come, whether a Sync brings it and no query. */
  readonly #unanswered = new Line<boolean>();
  /** Whether something was said that no Sync has followed. */
  #open = false;
  #copiesIn = false;
  /** The Parse without a name that came last, whole. */
  #unnamed: Buffer | undefined;
  #keepsUnseen = false;

  /** `goodbye`: called when the client says it, before anything is noted of that. */
  constructor(does: { readonly pass: (bytes: Buffer) => void; readonly goodbye: () => void }) {
    this.#pass = does.pass;
    this.#goodbye = does.goodbye;
  }

  /** Whether the server has nothing to answer, and what is asked next begins anew. */
  get allAnswered(): boolean {
    return this.#unanswered.length === 0 && !this.#open;
  }

  /** What a Bind without a Parse would use: a message that says it again. */
  get unnamed(): Buffer | undefined {
    return this.#unnamed;
  }

  /** Whether the session may keep something that cannot be asked for. */
  get keepsUnseen(): boolean {
    return this.#keepsUnseen;
  }

  get mayChange(): Uint8Array {
    return this.#portal.usable ? NOTHING : OF_A_PORTAL;
  }

  needs(type: number, length: number): number {
    return Math.min(length, bytesToName(type));
  }

  frame(type: number, length: number, start: Buffer): number {
    const instead = this.#portal.insteadOf(type, start);
    if (instead !== undefined) {
      this.#open = true;
      this.#pass(instead);
      return length;
    }
    this.#portal.note(type, start);
    if (ASKS[type] === 1) this.just.note();
    switch (type) {
      case CLIENT.query:
        this.#unnamed = undefined;
        this.#noteText(start);
        this.#unanswered.push(false);
        break;
      case CLIENT.functionCall:
        this.#unanswered.push(false);
        break;
      case CLIENT.sync:
        this.#open = false;
        if (!this.#copiesIn) this.#unanswered.push(true);
        break;
      case CLIENT.copyDone:
      case CLIENT.copyFail:
        this.#copiesIn = false;
        break;
      case CLIENT.parse:
        this.#open = true;
        this.#noteText(start);
        if (start[HEAD_BYTES] === 0) this.#noteUnnamed(start, length);
        break;
      case CLIENT.terminate:
        this.#goodbye();
        // After it nothing begins anew.
        this.#open = true;
        break;
      default:
        this.#open = true;
    }
    return 0;
  }

  pass(bytes: Buffer): void {
    this.#pass(bytes);
  }

  /** The server waits for data. While it does, it hears no Sync, nor does it one that was sent. */
  copyIn(): void {
    this.#copiesIn = true;
    if (this.#unanswered.first !== true) return;
    this.#unanswered.shift();
    this.#open = true;
  }

  failed(): void {
    this.#copiesIn = false;
  }

  /** The server waits for the next question. */
  ready(failed: boolean): void {
    this.just.answered();
    this.#unanswered.shift();
    this.#copiesIn = false;
    this.#portal.answered(failed);
  }

  #noteText(start: Buffer): void {
    const text = start.toString("latin1", HEAD_BYTES, HEAD_BYTES + READ_BYTES);
    if (NAMES_OWN_SETTING.test(text)) this.#keepsUnseen = true;
  }

  #noteUnnamed(start: Buffer, length: number): void {
    const whole = start.length === length && length <= READ_BYTES;
    // Of those that are longer a client is told that there is none, should it not say it again.
    this.#unnamed = whole ? Buffer.from(start) : undefined;
  }
}
