/**
 * Text of others as it may be shown in a terminal. Whoever writes to a log could otherwise move the
 * cursor, recolour what was said before, or put a command on the clipboard of who reads it.
 */

/** Controls other than tab and line feed, and what turns the direction of writing. */
const DANGEROUS = /(?![\t\n])[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Shows what would act on the terminal as an escape, such as `\x1b`. */
export function terminalText(text: string): string {
  return text.replace(DANGEROUS, (character) => {
    const code = character.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u${code.padStart(4, "0")}`;
  });
}

/** The last so many lines of a text that ends with a line feed, or is empty. */
export function lastLines(text: string, count: number): string {
  // From -0 on would be all of them.
  const lines = count === 0 ? [] : text.split("\n").slice(0, -1).slice(-count);
  return lines.map((line) => `${line}\n`).join("");
}
