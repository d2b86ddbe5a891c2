/** The longest identifier Postgres keeps; it cuts longer ones short without an error. */
const MAXIMUM_BYTES = 63;

/** A name as SQL text. Refuses what Postgres would cut short or cannot hold. */
export function quoteIdentifier(name: string): string {
  const bytes = Buffer.byteLength(name, "utf8");
  if (bytes === 0) throw new Error("bug: an empty identifier");
  if (bytes > MAXIMUM_BYTES) throw new Error(`bug: an identifier of ${bytes} bytes`);
  return `"${checked(name).replaceAll('"', '""')}"`;
}

/** A value as SQL text, whatever `standard_conforming_strings` is. */
export function quoteLiteral(value: string): string {
  const doubled = checked(value).replaceAll("'", "''");
  if (!doubled.includes("\\")) return `'${doubled}'`;
  // The leading blank parts it from a word before it, which would swallow the E.
  return ` E'${doubled.replaceAll("\\", "\\\\")}'`;
}

function checked(text: string): string {
  if (text.includes("\0")) throw new Error("bug: a NUL in SQL text");
  // A lone surrogate would reach the server as U+FFFD: two names would become one.
  if (!text.isWellFormed()) throw new Error("bug: a lone surrogate in SQL text");
  return text;
}
