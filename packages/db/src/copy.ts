/**
 * Rows for `copy … from stdin with (format binary)`.
 * https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-BINARY-FORMAT
 */

/** What a column holds. */
export type CopyType = "text" | "bigint" | "timestamptz";
export type CopyValue = string | bigint | Date;

/** Where rows go. Names are literals of the program: they are not quoted. */
export interface CopyTarget {
  readonly table: string;
  readonly columns: Readonly<Record<string, CopyType>>;
}

const SIGNATURE = Buffer.from("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", "latin1");
const TRAILER = -1;
const FIRST_BYTES = 64 * 1_024;
const FIXED_BYTES = 8;
/** Postgres counts from 2000-01-01 UTC. */
const EPOCH_MS = Date.UTC(2000, 0, 1);
const US_PER_MS = 1_000;
const LOW_32 = 2 ** 32;

/** The statement that takes rows in. */
export function copyStatement({ table, columns }: CopyTarget): string {
  return `copy ${table} (${Object.keys(columns).join(", ")}) from stdin with (format binary)`;
}

/** Each row has a value for each column, in their order. Throws a TypeError when it has not. */
export function encodeCopy(
  { columns }: CopyTarget,
  rows: readonly (readonly CopyValue[])[],
): Buffer {
  const types = Object.values(columns);
  const out = new Growing();
  out.bytes(SIGNATURE);
  for (const row of rows) {
    out.int16(types.length);
    for (let index = 0; index < types.length; index += 1) {
      writeField(out, types[index], row[index]);
    }
  }
  out.int16(TRAILER);
  return out.written();
}

function writeField(out: Growing, type: CopyType | undefined, value: CopyValue | undefined): void {
  if (type === "text" && typeof value === "string") {
    out.text(value);
  } else if (type === "bigint" && typeof value === "bigint") {
    out.int32(FIXED_BYTES);
    out.int64(value);
  } else if (type === "timestamptz" && value instanceof Date) {
    out.int32(FIXED_BYTES);
    out.whole(value.getTime() - EPOCH_MS, US_PER_MS);
  } else {
    throw new TypeError(`a column of type ${type} was given ${String(value)}`);
  }
}

/** Bytes that are written one after the other. */
class Growing {
  #buffer = Buffer.allocUnsafe(FIRST_BYTES);
  #length = 0;

  written(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  bytes(bytes: Buffer): void {
    this.#room(bytes.length);
    this.#length += bytes.copy(this.#buffer, this.#length);
  }

  /** The length in bytes, and the text in UTF-8. */
  text(text: string): void {
    const mostBytes = 3 * text.length;
    this.#room(4 + mostBytes);
    const length = this.#buffer.write(text, this.#length + 4);
    this.#length = this.#buffer.writeInt32BE(length, this.#length) + length;
  }

  int16(value: number): void {
    this.#room(2);
    this.#length = this.#buffer.writeInt16BE(value, this.#length);
  }

  int32(value: number): void {
    this.#room(4);
    this.#length = this.#buffer.writeInt32BE(value, this.#length);
  }

  int64(value: bigint): void {
    this.#room(8);
    this.#length = this.#buffer.writeBigInt64BE(value, this.#length);
  }

  /** A product in 64 bits: as long as a number holds it, without the cost of a bigint. */
  whole(value: number, times: number): void {
    const product = value * times;
    if (!Number.isSafeInteger(product)) {
      this.int64(BigInt(value) * BigInt(times));
      return;
    }
    this.#room(8);
    const high = Math.floor(product / LOW_32);
    this.#length = this.#buffer.writeInt32BE(high, this.#length);
    this.#length = this.#buffer.writeUInt32BE(product - high * LOW_32, this.#length);
  }

  #room(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#buffer.length, needed));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
