/** Values of settings that tenants may choose: what each kind allows, and how it is written. */
export type ValueRule =
  | { readonly kind: "switch" }
  | { readonly kind: "choice"; readonly of: readonly string[] }
  | { readonly kind: "integer" | "number"; readonly least: number; readonly most: number }
  /** A whole number with kB, MB or GB, up to a share of the instance's memory. */
  | { readonly kind: "size"; readonly leastKiB: number; readonly mostShare: number }
  /** A whole number with ms, s, min or h; 0 needs no unit. */
  | { readonly kind: "time"; readonly leastMs: number; readonly mostMs: number };

export type ValueReading =
  | { readonly kind: "accepted"; readonly value: string }
  /** Completes "must be …". */
  | { readonly kind: "refused"; readonly expected: string };

const SWITCHES: ReadonlyMap<string, string> = new Map([
  ["on", "on"],
  ["true", "on"],
  ["off", "off"],
  ["false", "off"],
]);
const KIB: Readonly<Record<string, number>> = { kB: 1, MB: 1_024, GB: 1_048_576 };
/** The units of time that Postgres writes, in milliseconds. */
export const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** What is written is made of what was read, never the caller's text as it came. */
export function readValue(rule: ValueRule, text: string, memoryMiB: number): ValueReading {
  switch (rule.kind) {
    case "switch":
      return accept(SWITCHES.get(text), "on or off");
    case "choice":
      return accept(
        rule.of.find((each) => each === text),
        `one of: ${rule.of.join("; ")}`,
      );
    case "integer":
    case "number":
      return readNumber(rule, text);
    case "size":
      return readSize(rule, text, memoryMiB);
    case "time":
      return readTime(rule, text);
  }
}

function readNumber(
  rule: Extract<ValueRule, { readonly kind: "integer" | "number" }>,
  text: string,
): ValueReading {
  const whole = rule.kind === "integer";
  const shape = whole ? /^-?\d{1,10}$/ : /^\d{1,10}(?:\.\d{1,6})?$/;
  const value = shape.test(text) ? Number(text) : Number.NaN;
  const what = whole ? "a whole number" : "a number";
  const fits = value >= rule.least && value <= rule.most;
  return accept(fits ? written(value) : undefined, `${what} from ${rule.least} to ${rule.most}`);
}

function readSize(
  rule: Extract<ValueRule, { readonly kind: "size" }>,
  text: string,
  memoryMiB: number,
): ValueReading {
  const mostKiB = Math.floor(memoryMiB * 1_024 * rule.mostShare);
  const parts = /^(\d{1,9}) ?(kB|MB|GB)$/.exec(text);
  const kibibytes = parts === null ? Number.NaN : Number(parts[1]) * (KIB[parts[2] ?? ""] ?? 0);
  const fits = kibibytes >= rule.leastKiB && kibibytes <= mostKiB;
  return accept(
    fits && parts !== null ? `${Number(parts[1])}${parts[2]}` : undefined,
    `a size from ${rule.leastKiB}kB to ${mostKiB}kB, written as 64kB, 16MB or 1GB`,
  );
}

function readTime(rule: Extract<ValueRule, { readonly kind: "time" }>, text: string): ValueReading {
  const parts = /^(\d{1,9}) ?(ms|s|min|h)$/.exec(text === "0" ? "0ms" : text);
  const ms = parts === null ? Number.NaN : Number(parts[1]) * (UNIT_MS[parts[2] ?? ""] ?? 0);
  const fits = ms >= rule.leastMs && ms <= rule.mostMs;
  return accept(
    fits && parts !== null ? `${Number(parts[1])}${parts[2]}` : undefined,
    `a time from ${rule.leastMs}ms to ${rule.mostMs}ms, written as 500ms, 30s, 5min or 1h`,
  );
}

/** Without the exponent that a small number would be printed with. */
function written(value: number): string {
  return Number.isInteger(value) ? value.toString() : value.toFixed(6).replace(/0+$/, "");
}

function accept(value: string | undefined, expected: string): ValueReading {
  return value === undefined ? { kind: "refused", expected } : { kind: "accepted", value };
}
