/** Makes the request message out of a REST request: body, query, path and idempotency key. */
import { isCalendarDay } from "@aerodb/model";
import {
  type DescField,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { Binding } from "./bindings.ts";
import { type Json, readJson } from "./json-text.ts";
import { malformed } from "./problem.ts";
import { isObject, isWholeType, partsOf, wrongValue } from "./wrong-value.ts";

export interface RestRequest {
  readonly binding: Binding;
  readonly variables: readonly (readonly [DescField, string])[];
  readonly query: URLSearchParams;
  /** Empty when there is none. */
  readonly body: string;
  readonly idempotencyKey: string | undefined;
}

const REQUEST_ID = "request_id";
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/** Throws a RequestProblem that names what is wrong. */
export function requestMessage(request: RestRequest): Message {
  const { input } = request.binding.method;
  const values = bodyOf(request);
  addQuery(values, request);
  for (const [field, text] of request.variables) {
    addOnce(values, field.name, text, `the path says ${JSON.stringify(text)}`);
  }
  const takesKey = input.fields.some((field) => field.name === REQUEST_ID);
  if (takesKey && request.idempotencyKey !== undefined) {
    addOnce(
      values,
      REQUEST_ID,
      request.idempotencyKey,
      "the header Idempotency-Key says otherwise",
    );
  }
  return decode(input, values);
}

function bodyOf({ binding, body }: RestRequest): JsonObject {
  if (body.trim() === "") return {};
  const reading = readJson(body);
  if (reading.kind === "malformed") {
    const { reason, position, line, column } = reading;
    const where = `line ${line}, column ${column}`;
    throw malformed(`The body is not JSON: ${reason} at ${where}.`, { position, line, column });
  }
  const { value } = reading;
  if (!isObject(value)) throw malformed("The body must be a JSON object.");
  const [first] = Object.keys(value);
  if (!binding.takesBody && first !== undefined) throw malformed("This request takes no body.");
  refuseUnknown(binding.method.input, value, "");
  return { ...value };
}

/** Refuses fields that the message does not have, at any depth, by name. */
function refuseUnknown(message: DescMessage, value: { [key: string]: Json }, within: string): void {
  for (const [name, inner] of Object.entries(value)) {
    const field = message.fields.find((each) => each.name === name);
    const path = within + name;
    if (field === undefined) throw unknownField(path, message);
    for (const part of partsOf(field, inner, path)) {
      if (part.message !== undefined) refuseUnknown(part.message, part.value, `${part.path}.`);
    }
  }
}

function unknownField(path: string, message: DescMessage) {
  const known = message.fields.map((each) => each.name).join(", ");
  const hint = known === "" ? "None is known here." : `Known are: ${known}.`;
  return malformed(`There is no field ${JSON.stringify(path)}. ${hint}`, { field: path });
}

function isInPath(binding: RestRequest["binding"], name: string): boolean {
  return binding.segments.some(
    (segment) => segment.kind === "variable" && segment.field.name === name,
  );
}

function addQuery(values: JsonObject, { binding, query }: RestRequest): void {
  const { input } = binding.method;
  for (const name of new Set(query.keys())) {
    const field = input.fields.find((each) => each.name === name);
    if (binding.takesBody || field === undefined || isInPath(binding, name)) {
      const names = input.fields.map((each) => each.name);
      const known = binding.takesBody ? [] : names.filter((each) => !isInPath(binding, each));
      const hint = known.length === 0 ? "It takes none." : `Known are: ${known.join(", ")}.`;
      const sentence = `There is no query parameter ${JSON.stringify(name)} here. ${hint}`;
      throw malformed(sentence, { field: name });
    }
    values[name] = queryValue(field, query.getAll(name));
  }
}

function queryValue(field: DescField, texts: readonly string[]): JsonValue {
  if (field.fieldKind === "list" && field.listKind === "scalar") {
    return texts.map((text) => scalarValue(field.name, field.scalar, text));
  }
  const [text = "", second] = texts;
  if (second !== undefined) {
    throw malformed(`The query parameter ${field.name} is given twice.`, { field: field.name });
  }
  if (field.fieldKind === "message" && field.message.typeName === TimestampSchema.typeName) {
    return timeValue(field.name, text);
  }
  if (field.fieldKind !== "scalar") {
    throw malformed(`${field.name} cannot be a query parameter.`, { field: field.name });
  }
  return scalarValue(field.name, field.scalar, text);
}

/** RFC 3339, as in bodies. */
function timeValue(name: string, text: string): JsonValue {
  const isTime = TIME.test(text) && !Number.isNaN(Date.parse(text));
  if (isTime && isCalendarDay(text.slice(0, 10))) return text;
  const wanted = `${name} must be a time like 2026-11-30T12:00:00Z`;
  const hint = text.includes(" ") ? " A + is written %2B in a query." : "";
  throw malformed(`${wanted}, not ${JSON.stringify(text)}.${hint}`, { field: name });
}

function scalarValue(name: string, type: ScalarType, text: string): JsonValue {
  if (isWholeType(type)) {
    if (/^-?\d{1,19}$/.test(text)) return text;
    throw malformed(`${name} must be a whole number, not ${JSON.stringify(text)}.`, {
      field: name,
    });
  }
  if (type !== ScalarType.BOOL) return text;
  if (text === "true" || text === "false") return text === "true";
  throw malformed(`${name} must be true or false, not ${JSON.stringify(text)}.`, { field: name });
}

function addOnce(values: JsonObject, name: string, text: string, conflict: string): void {
  if (name in values && values[name] !== text) {
    const said = JSON.stringify(values[name]);
    throw malformed(`The body says ${said} for ${name}, and ${conflict}.`, { field: name });
  }
  values[name] = text;
}

function decode(input: DescMessage, values: JsonObject): Message {
  try {
    return fromJson(input, values);
  } catch (error) {
    throw wrongType(input, values, error);
  }
}

/** Names the innermost value that cannot be read. */
function wrongType(input: DescMessage, values: JsonObject, error: unknown) {
  const found = wrongValue(input, values, "");
  if (found === undefined) {
    return malformed("The request cannot be read.", { reason: String(error).slice(0, 256) });
  }
  const { path, value, type } = found;
  const said = JSON.stringify(value)?.slice(0, 64);
  return malformed(`${path} must be ${type}, not ${said}.`, { field: path });
}
