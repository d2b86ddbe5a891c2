/**
 * Reads JSON as JSON.parse does, and says where it is malformed: line and column. A key that occurs
 * twice in one object is malformed too, for nobody can tell which of the two was meant.
 */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

export type JsonReading =
  | { readonly kind: "value"; readonly value: Json }
  | {
      readonly kind: "malformed";
      readonly reason: string;
      readonly position: number;
      readonly line: number;
      readonly column: number;
    };

const DEEPEST = 64;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids exactly these in a string.
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WHITE_SPACE = /[ \t\r\n]*/y;
const WORDS: readonly (readonly [string, Json])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
];

/** Reads one JSON value. */
export function readJson(text: string): JsonReading {
  try {
    const reader = new Reader(text);
    const value = reader.value(0);
    reader.end();
    return { kind: "value", value };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    const before = text.slice(0, error.position);
    const line = before.split("\n").length;
    const column = error.position - before.lastIndexOf("\n");
    return { kind: "malformed", reason: error.message, position: error.position, line, column };
  }
}

class Malformed extends Error {
  readonly position: number;
  constructor(reason: string, position: number) {
    super(reason);
    this.position = position;
  }
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): Json {
    if (depth > DEEPEST) throw this.#malformed(`it is nested deeper than ${DEEPEST}`);
    this.#match(WHITE_SPACE);
    const first = this.#text[this.#at];
    if (first === "{") return this.#object(depth);
    if (first === "[") return this.#array(depth);
    if (first === '"') return this.#string("a string");
    for (const [word, value] of WORDS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    const digits = this.#match(NUMBER);
    if (digits === undefined) throw this.#expected("a value");
    return Number(digits);
  }

  end(): void {
    this.#match(WHITE_SPACE);
    if (this.#at < this.#text.length) throw this.#expected("the end");
  }

  #object(depth: number): Json {
    // Without a prototype, a key such as __proto__ is a key like any other.
    const object = Object.create(null) as { [key: string]: Json };
    this.#at += 1;
    if (this.#takes("}")) return object;
    do {
      this.#match(WHITE_SPACE);
      const keyAt = this.#at;
      const key = this.#string("a key in double quotes");
      if (key in object) {
        throw new Malformed(`the key ${JSON.stringify(key)} occurs twice`, keyAt);
      }
      if (!this.#takes(":")) throw this.#expected('":"');
      object[key] = this.value(depth + 1);
    } while (this.#takes(","));
    if (!this.#takes("}")) throw this.#expected('"," or "}"');
    return object;
  }

  #array(depth: number): Json {
    const array: Json[] = [];
    this.#at += 1;
    if (this.#takes("]")) return array;
    do array.push(this.value(depth + 1));
    while (this.#takes(","));
    if (!this.#takes("]")) throw this.#expected('"," or "]"');
    return array;
  }

  #string(what: string): string {
    const literal = this.#match(STRING);
    if (literal === undefined) throw this.#expected(what);
    return JSON.parse(literal) as string;
  }

  #takes(character: string): boolean {
    this.#match(WHITE_SPACE);
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #expected(what: string): Malformed {
    const code = this.#text.codePointAt(this.#at);
    const found = code === undefined ? "the end" : JSON.stringify(String.fromCodePoint(code));
    return this.#malformed(`${found} where ${what} is expected`);
  }

  #malformed(reason: string): Malformed {
    return new Malformed(reason, this.#at);
  }
}
