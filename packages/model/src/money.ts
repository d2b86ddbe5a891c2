/** Money as people read and write it. Everywhere else it is millionths of a dollar in a bigint. */
const MICRO = 1_000_000n;

/** `$1,234.56`; with as many further digits as it has. */
export function moneyText(microUsd: bigint): string {
  const sign = microUsd < 0n ? "-" : "";
  const positive = microUsd < 0n ? -microUsd : microUsd;
  const fraction = (positive % MICRO).toString().padStart(6, "0");
  const shown = fraction.replace(/0{1,4}$/, "");
  return `${sign}$${grouped((positive / MICRO).toString())}.${shown}`;
}

/** Reads `12`, `12.5` or `$0.023`, to the millionth; undefined for anything else. */
export function parseMoney(text: string): bigint | undefined {
  const [, whole, fraction = ""] = /^\$?(\d{1,12})(?:\.(\d{1,6}))?$/.exec(text) ?? [];
  if (whole === undefined) return undefined;
  return BigInt(whole) * MICRO + BigInt(fraction.padEnd(6, "0"));
}

/** A decimal number with commas between thousands. */
export function grouped(decimal: string): string {
  const [whole = "", fraction] = decimal.split(".");
  const commas = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? commas : `${commas}.${fraction}`;
}
