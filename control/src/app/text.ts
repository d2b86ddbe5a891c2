import { Fault } from "@aerodb/model";

/** Refuses text that the catalogue cannot keep or a terminal should not show. */
export function requireText(what: string, text: string): void {
  if (text.isWellFormed() && !/\p{Cc}/u.test(text)) return;
  throw new Fault("INVALID_ARGUMENT", `${what} must not contain control characters.`);
}

/** Whether a text can name anything that the catalogue keeps. */
export function couldBeText(text: string): boolean {
  return text !== "" && text.isWellFormed() && !/\p{Cc}/u.test(text);
}

/** Refuses labels that cannot be kept. */
export function requireLabels(labels: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(labels)) {
    const label = `labels[${JSON.stringify(name)}]`;
    requireText(`${label}: the name`, name);
    requireText(`${label}: the value`, value);
  }
}

/** Text that came from elsewhere, made fit to keep. */
export function cleanText(text: string, maxLength: number): string {
  return text
    .toWellFormed()
    .replace(/\p{Cc}+/gu, " ")
    .slice(0, maxLength);
}
