/** What a text may do to a session that its answer does not tell, as far as the text shows it. */

export interface Effects {
  /** Whether something may stay that the next client would find. */
  readonly leaves: boolean;
  /** Whether literals may be read otherwise from then on. */
  readonly unsettles: boolean;
  /** Whether statements that the server has prepared may be gone, or others have come. */
  readonly hides: boolean;
  /** Whether settings may be what they were at the start. */
  readonly resets: boolean;
}

/** Names may be written in escapes; of blocks of code nothing is known. */
const HIDES = /\bu&"|\bdo\s*(\$|'|e'|language)|\bcall\b/i;
const LEAVES = new RegExp(
  [HIDES, /\btemp(orary)?\b|\bpg_temp|set_config|advisory_lock|\bhold\b/]
    .map(({ source }) => source)
    .join("|"),
  "i",
);
/** A setting with a dot in its name is the tenant's own. */
const UNSETTLES = new RegExp(
  [
    HIDES,
    /\b(datestyle|intervalstyle|timezone|time\s+zone|client_encoding|names|lc_monetary)\b/,
    /\b(standard_conforming_strings|xml\s?option|pg_settings|reset|discard)\b/,
    /set_config\s*\(\s*(?!'[^'.]*\.)/,
  ]
    .map(({ source }) => source)
    .join("|"),
  "i",
);
const SETS_BY_UPDATE = [/\bupdate\b/i, /\bpg_settings\b/i];
const RESETS = /\b(reset|discard)\b/i;
const SETS_BACK = [/\bset\b/i, /\b(default|local)\b/i];
/** No more is looked at of one statement. */
const LOOKED_AT_BYTES = 64 * 1024;

/** Of what is not known. */
export const ANY_EFFECTS: Effects = {
  ...{ leaves: true, unsettles: true, hides: true, resets: false },
};

/** `length`: of all of a text; what is not looked at may do anything that no tag tells. */
export function effectsOf(text: Buffer, length = text.length): Effects {
  const unseen = length > Math.min(text.length, LOOKED_AT_BYTES);
  const looked = text.toString("latin1", 0, LOOKED_AT_BYTES);
  return {
    leaves: unseen || LEAVES.test(looked) || hasAll(looked, SETS_BY_UPDATE),
    unsettles: unseen || UNSETTLES.test(looked),
    hides: HIDES.test(looked),
    resets: RESETS.test(looked) || hasAll(looked, SETS_BACK),
  };
}

/** In whatever order: a tenant chooses the text, and to look for it from each place takes long. */
function hasAll(text: string, parts: readonly RegExp[]): boolean {
  return parts.every((part) => part.test(text));
}
