/**
 * The REST API as an OpenAPI 3.1 document, from the contracts alone: paths from `google.api.http`,
 * sentences from the comments, limits from the protovalidate rules.
 */

import { http } from "@aerodb/rpc/google/api/annotations_pb.js";
import type { HttpRule } from "@aerodb/rpc/google/api/http_pb.js";
import {
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
  getOption,
  hasOption,
} from "@bufbuild/protobuf";
import { fieldSchema, type JsonSchema, messageSchema } from "./json-schema.ts";
import { commentOf } from "./proto-comments.ts";

interface Operation {
  readonly verb: string;
  readonly path: string;
  readonly definition: object;
}

/** The document, as the text of a JSON file. */
export function openApiDocument(files: readonly DescFile[], version: string): string {
  const services = files.flatMap(({ services }) => services);
  const operations = services.flatMap(({ methods }) => methods.flatMap(operationOf));
  const paths: Record<string, Record<string, object>> = {};
  for (const { path, verb, definition } of operations) {
    paths[path] = { ...paths[path], [verb]: definition };
  }
  const document = {
    openapi: "3.1.0",
    info: {
      title: "AeroDB Hosting",
      version,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    security: [{ platform_key: [] }],
    tags: services
      .filter(isInRest)
      .map((service) => ({ name: service.name, description: commentOf(service) })),
    paths,
    components: {
      securitySchemes: {
        platform_key: { type: "http", scheme: "bearer", description: "A key of the platform." },
      },
      responses: { Problem: PROBLEM_RESPONSE },
      schemas: { Problem: PROBLEM, ...schemasOf(operations.map(({ definition }) => definition)) },
    },
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;

  function schemasOf(definitions: readonly object[]): Record<string, JsonSchema> {
    return reachable(definitions, new Map(files.flatMap(messagesOf)));
  }
}

function isInRest(service: DescService): boolean {
  return service.methods.some((method) => hasOption(method, http));
}

function operationOf(method: DescMethod): Operation[] {
  if (!hasOption(method, http)) return [];
  const rule = getOption(method, http);
  const { verb, path } = patternOf(rule, method);
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const parameters = method.input.fields
    .filter((field) => inPath.includes(field.name) || rule.body === "")
    .map((field) => ({
      name: field.name,
      in: inPath.includes(field.name) ? "path" : "query",
      ...(inPath.includes(field.name) ? { required: true } : {}),
      description: commentOf(field),
      schema: fieldSchema(field),
    }));
  const definition = {
    operationId: method.name,
    tags: [method.parent.name],
    description: commentOf(method),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(rule.body === "*" ? { requestBody: bodyOf(method.input, inPath) } : {}),
    responses: {
      [method.name.startsWith("Create") ? "201" : "200"]: answerOf(method, rule),
      default: { $ref: "#/components/responses/Problem" },
    },
  };
  return [{ verb, path, definition }];
}

function patternOf(rule: HttpRule, method: DescMethod): { verb: string; path: string } {
  const { case: verb, value } = rule.pattern;
  if (verb === undefined || verb === "custom" || (rule.body !== "" && rule.body !== "*")) {
    throw new Error(`${method.name}: the OpenAPI writer knows no such google.api.http rule.`);
  }
  return { verb, path: value };
}

function bodyOf(message: DescMessage, inPath: readonly (string | undefined)[]): object {
  const fields = message.fields.filter(({ name }) => !inPath.includes(name));
  const schema = messageSchema({ fields, description: commentOf(message) });
  return { required: true, content: { "application/json": { schema } } };
}

function answerOf(method: DescMethod, rule: HttpRule): object {
  const whole = method.output;
  const field = whole.fields.find(({ name }) => name === rule.responseBody);
  if (field?.message?.typeName === "google.api.HttpBody") {
    return { description: commentOf(field), content: { "*/*": {} } };
  }
  const schema: JsonSchema =
    field === undefined ? { $ref: `#/components/schemas/${whole.name}` } : fieldSchema(field);
  return { description: commentOf(field ?? whole), content: { "application/json": { schema } } };
}

function messagesOf(file: DescFile): [string, DescMessage][] {
  return file.messages.map((message) => [message.name, message]);
}

/** The schemas that are referred to, and those that these refer to in turn. */
function reachable(
  from: readonly object[],
  messages: ReadonlyMap<string, DescMessage>,
): Record<string, JsonSchema> {
  const schemas: Record<string, JsonSchema> = {};
  const pending = from.flatMap(references);
  for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
    const message = messages.get(name);
    if (message === undefined || name in schemas) continue;
    const schema = messageSchema({ fields: message.fields, description: commentOf(message) });
    schemas[name] = schema;
    pending.push(...references(schema));
  }
  return Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function references(value: object): string[] {
  const found = JSON.stringify(value).matchAll(/"#\/components\/schemas\/(\w+)"/g);
  return [...found].map(([, name]) => name ?? "");
}

const PROBLEM: JsonSchema = {
  type: "object",
  description: "Why a request was refused (RFC 9457).",
  required: ["type", "title", "status", "detail", "error", "code"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string", description: "One sentence for people." },
    error: { type: "string", description: "The same sentence." },
    code: { type: "string", description: "For programs, for example `TENANT_NAME_EXISTS`." },
    details: { type: "object", description: "What belongs to the code." },
    request_id: { type: "string", description: "Names the request in the logs." },
  },
};

const PROBLEM_RESPONSE = {
  description: "The request was refused.",
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
};
