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

const LABEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/;

/** Refuses labels of a host that nobody could name on a command line, or that say nothing. */
export function requireHostLabels(labels: Readonly<Record<string, string>>): void {
  requireLabels(labels);
  for (const [name, value] of Object.entries(labels)) {
    const label = `labels[${JSON.stringify(name)}]`;
    if (!LABEL_NAME.test(name)) {
      const rule = "1 to 63 of letters, digits and . _ / -, a letter or digit first";
      throw new Fault("INVALID_ARGUMENT", `${label}: the name of a label has ${rule}.`);
    }
    if (value.trim() === "") throw new Fault("INVALID_ARGUMENT", `${label}: the value is empty.`);
  }
}

/** Text that came from elsewhere, made fit to keep. */
export function cleanText(text: string, maxLength: number): string {
  return text
    .toWellFormed()
    .replace(/\p{Cc}+/gu, " ")
    .slice(0, maxLength);
}
