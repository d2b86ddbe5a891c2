/** Lines of an invoice as people read them: units, prices and amounts in words and decimals. */

import type { CalendarMonth } from "@aerodb/model";
import { grouped, METERS, type Meter, moneyText } from "@aerodb/model";
import { type InvoiceLine, roundHalfEven } from "./invoice.ts";

export interface LineText {
  readonly description: string;
  /** What `quantity`, `included` and `charged` are of. */
  readonly unit: string;
  readonly quantity: string;
  readonly included: string;
  readonly charged: string;
  /** `$0.25 per GB-month` */
  readonly rate: string;
}

interface Unit {
  readonly name: string;
  /** How much of what the line counts one of it is. */
  readonly size: bigint;
  readonly digits: number;
}

const GIB = 2n ** 30n;
const DAY_SECONDS = 86_400n;
const MICRO = 1_000_000n;
const DESCRIPTIONS: Readonly<Partial<Record<Meter, string>>> = {
  api_requests: "API requests",
  storage_bytes: "Database storage",
  file_bytes: "File storage",
  egress_bytes: "Data sent",
};

export function lineText(line: InvoiceLine, month: CalendarMonth): LineText {
  const unit = unitOf(line, month);
  const said = (amount: bigint): string => decimalText(amount, unit.size, unit.digits);
  return {
    description: descriptionOf(line),
    unit: unit.name,
    quantity: said(line.quantity),
    included: said(line.allowance),
    charged: said(line.billable),
    rate: rateText(line, unit),
  };
}

function descriptionOf({ kind, subject }: Pick<InvoiceLine, "kind" | "subject">): string {
  if (kind === "plan") return `Plan ${subject}`;
  const words = subject.replaceAll("_", " ");
  return DESCRIPTIONS[subject as Meter] ?? words.charAt(0).toUpperCase() + words.slice(1);
}

function unitOf({ kind, subject }: InvoiceLine, month: CalendarMonth): Unit {
  if (kind === "plan") return { name: "days", size: DAY_SECONDS, digits: 3 };
  const held = METERS[subject as Meter].kind === "gauge";
  const size = held ? month.seconds * 1_000n : 1n;
  if (!subject.endsWith("_bytes")) {
    const [name = ""] = /[a-z]+$/.exec(subject) ?? [];
    return { name: held ? `${name}-months` : name, size, digits: held ? 3 : 0 };
  }
  return { name: held ? "GB-month" : "GB", size: size * GIB, digits: 3 };
}

function rateText({ kind, microUsd, per }: InvoiceLine, unit: Unit): string {
  if (kind === "plan") return `${moneyText(microUsd)} per month`;
  const each = per / unit.size;
  if (each === MICRO) return `${moneyText(microUsd)} per million ${unit.name}`;
  if (each <= 1n) return `${moneyText((microUsd * unit.size) / per)} per ${unit.name}`;
  return `${moneyText(microUsd)} per ${grouped(each.toString())} ${unit.name}`;
}

/** A fraction as a decimal number with so many digits after the point, rounded half to even. */
export function decimalText(numerator: bigint, denominator: bigint, digits: number): string {
  const scaled = roundHalfEven(numerator * 10n ** BigInt(digits), denominator).toString();
  if (digits === 0) return scaled;
  const padded = scaled.padStart(digits + 1, "0");
  return `${padded.slice(0, -digits)}.${padded.slice(-digits)}`;
}
