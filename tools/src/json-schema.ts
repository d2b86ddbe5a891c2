/** Messages of the contracts as JSON Schema, in the form they take in JSON: snake_case. */

import type { FieldRules } from "@aerodb/rpc/buf/validate/validate_pb.js";
import { field as validation } from "@aerodb/rpc/buf/validate/validate_pb.js";
import { type DescField, getOption, hasOption, ScalarType } from "@bufbuild/protobuf";
import { commentOf } from "./proto-comments.ts";

export type JsonSchema = { readonly [key: string]: unknown };

/** A message, or a part of one, as an object. */
export function messageSchema(message: {
  readonly fields: readonly DescField[];
  readonly description: string;
}): JsonSchema {
  const required = message.fields.filter(isRequired).map(({ name }) => name);
  const properties = message.fields.map((field) => [
    field.name,
    { description: commentOf(field), ...fieldSchema(field) },
  ]);
  return {
    type: "object",
    description: message.description,
    ...(required.length === 0 ? {} : { required }),
    properties: Object.fromEntries(properties),
  };
}

export function fieldSchema(field: DescField): JsonSchema {
  const rules = hasOption(field, validation) ? getOption(field, validation) : undefined;
  switch (field.fieldKind) {
    case "scalar":
      return { ...scalarSchema(field.scalar), ...limitsOf(rules) };
    case "enum":
      return { type: "string", enum: field.enum.values.map(({ name }) => name) };
    case "message":
      return typeSchema(field.message.typeName, field.message.name);
    case "list":
      return { type: "array", items: itemSchema(field), ...limitsOf(rules) };
    case "map":
      return { type: "object", additionalProperties: mapValueSchema(field), ...limitsOf(rules) };
  }
}

function itemSchema(field: DescField & { readonly fieldKind: "list" }): JsonSchema {
  if (field.listKind === "scalar") return scalarSchema(field.scalar);
  if (field.listKind === "message") return typeSchema(field.message.typeName, field.message.name);
  return { type: "string", enum: field.enum.values.map(({ name }) => name) };
}

function mapValueSchema(field: DescField & { readonly fieldKind: "map" }): JsonSchema {
  if (field.mapKind === "scalar") return scalarSchema(field.scalar);
  if (field.mapKind === "message") return typeSchema(field.message.typeName, field.message.name);
  return { type: "string", enum: field.enum.values.map(({ name }) => name) };
}

function typeSchema(typeName: string, name: string): JsonSchema {
  if (typeName === "google.protobuf.Timestamp") return { type: "string", format: "date-time" };
  if (typeName === "google.protobuf.Struct") return { type: "object" };
  return { $ref: `#/components/schemas/${name}` };
}

/** 64-bit numbers are strings in the JSON of protobuf. */
function scalarSchema(scalar: ScalarType): JsonSchema {
  switch (scalar) {
    case ScalarType.BOOL:
      return { type: "boolean" };
    case ScalarType.STRING:
      return { type: "string" };
    case ScalarType.BYTES:
      return { type: "string", contentEncoding: "base64" };
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return { type: "number" };
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return { type: "string", format: "int64" };
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return { type: "string", format: "uint64" };
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return { type: "integer", minimum: 0 };
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return { type: "integer" };
  }
}

function isRequired(field: DescField): boolean {
  if (!hasOption(field, validation)) return false;
  const { type } = getOption(field, validation);
  if (type.case === "string") return type.value.minLen > 0n;
  return type.case === "repeated" && type.value.minItems > 0n;
}

/** What the rules say that JSON Schema can say too. */
function limitsOf(rules: FieldRules | undefined): JsonSchema {
  const type = rules?.type;
  if (type?.case === "string") {
    const { minLen, maxLen, pattern, in: oneOf } = type.value;
    return present({ minLength: minLen, maxLength: maxLen, pattern, enum: oneOf });
  }
  if (type?.case === "repeated") {
    return present({ minItems: type.value.minItems, maxItems: type.value.maxItems });
  }
  if (type?.case === "map") return present({ maxProperties: type.value.maxPairs });
  if (type?.case === "uint32" && type.value.lessThan.case === "lte") {
    return { maximum: type.value.lessThan.value };
  }
  return {};
}

/** Rules that were left out are 0, empty or of no length. */
function present(
  limits: Readonly<Record<string, bigint | string | readonly string[]>>,
): JsonSchema {
  const given = Object.entries(limits).filter(([, limit]) =>
    typeof limit === "bigint" ? limit > 0n : limit.length > 0,
  );
  return Object.fromEntries(
    given.map(([name, limit]) => [name, typeof limit === "bigint" ? Number(limit) : limit]),
  );
}
