/** Finds what in a request is of the wrong type, at any depth, and says what it must be. */
import {
  type DescField,
  type DescMessage,
  fromJson,
  type JsonValue,
  ScalarType,
} from "@bufbuild/protobuf";
import type { Json } from "./json-text.ts";

const WHOLE: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT32,
  ScalarType.INT64,
  ScalarType.UINT32,
  ScalarType.UINT64,
]);

/** A value that cannot be read as what it must be. */
export interface WrongValue {
  readonly path: string;
  readonly value: Json;
  /** What it must be instead. */
  readonly type: string;
}

/** The innermost one, found by reading each alone. */
export function wrongValue(
  message: DescMessage,
  values: { [key: string]: Json },
  within: string,
): WrongValue | undefined {
  for (const [name, value] of Object.entries(values)) {
    const field = message.fields.find((each) => each.name === name);
    if (field === undefined || canRead(message, { [name]: value })) continue;
    const path = within + name;
    for (const part of partsOf(field, value, path)) {
      if (canRead(message, { [name]: part.alone })) continue;
      if (part.message === undefined) return { ...part, type: elementName(field, part.value) };
      const inner = wrongValue(part.message, part.value, `${part.path}.`);
      if (inner !== undefined) return inner;
    }
    return { path, value, type: typeName(field, value) };
  }
  return undefined;
}

function canRead(input: DescMessage, values: { [key: string]: Json }): boolean {
  try {
    fromJson(input, values);
    return true;
  } catch {
    return false;
  }
}

/** A value within the value of a field: an element of a list, an entry of a map, or a message. */
type Part = {
  readonly path: string;
  /** What the field would be if there were only this in it. */
  readonly alone: JsonValue;
} & (
  | { readonly message: DescMessage; readonly value: { [key: string]: Json } }
  | { readonly message: undefined; readonly value: Json }
);

export function partsOf(field: DescField, value: Json, path: string): readonly Part[] {
  if (field.fieldKind === "list" && Array.isArray(value)) {
    return value.map((each, index) => partOf(field.message, each, `${path}[${index}]`, [each]));
  }
  if (field.fieldKind === "map" && isObject(value)) {
    return Object.entries(value).map(([key, each]) =>
      partOf(field.message, each, `${path}[${JSON.stringify(key)}]`, { [key]: each }),
    );
  }
  if (field.fieldKind !== "message") return [];
  const part = partOf(field.message, value, path, value);
  return part.message === undefined ? [] : [part];
}

/** What Google defines has a JSON of its own, and no fields there. */
function partOf(message: DescMessage | undefined, value: Json, path: string, alone: Json): Part {
  const hasFields = message !== undefined && !message.typeName.startsWith("google.");
  return hasFields && isObject(value)
    ? { path, alone, message, value }
    : { path, alone, message: undefined, value };
}

function typeName(field: DescField, value: Json): string {
  switch (field.fieldKind) {
    case "list":
      return field.listKind === "scalar"
        ? `a list, each ${scalarName(field.scalar, value)}`
        : "a list";
    case "map":
      return field.mapKind === "scalar" && field.scalar === ScalarType.STRING
        ? "an object whose values are strings"
        : "an object";
    case "message":
    case "enum":
    case "scalar":
      return elementName(field, value);
  }
}

/** What a field must be, or each of what is in it. */
function elementName({ message, scalar }: DescField, value: Json): string {
  if (scalar !== undefined) return scalarName(scalar, value);
  return message === undefined ? "one of its names" : "an object";
}

function scalarName(type: ScalarType, value: Json): string {
  if (type === ScalarType.BOOL) return "true or false";
  if (type === ScalarType.STRING || type === ScalarType.BYTES) return "a string";
  if (!isWholeType(type)) return "a number";
  if (isWhole(value)) return `a whole number that is not too large for ${bitsOf(type)} bits`;
  const isUnsigned = type === ScalarType.UINT32 || type === ScalarType.UINT64;
  return isUnsigned ? "a whole number from 0 up" : "a whole number";
}

export function isWholeType(type: ScalarType): boolean {
  return WHOLE.has(type);
}

function isWhole(value: Json): boolean {
  if (typeof value === "string") return /^\d+$/.test(value);
  return Number.isInteger(value) && Number(value) > 0;
}

function bitsOf(type: ScalarType): number {
  return type === ScalarType.INT32 || type === ScalarType.UINT32 ? 32 : 64;
}

export function isObject(value: Json): value is { [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
