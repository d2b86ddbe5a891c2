/** A REST request as a call of control, and its answer as JSON, or as the file that it is. */

import { type HttpBody, HttpBodySchema } from "@aerodb/rpc/google/api/httpbody_pb.js";
import { failpoint } from "@aerodb/runtime";
import { create, type Message, toJson } from "@bufbuild/protobuf";
import type { FastifyReply, FastifyRequest } from "fastify";
import { type Binding, findBinding } from "./bindings.ts";
import type { Control } from "./control.ts";
import { malformed, noSuchPath, RequestProblem } from "./problem.ts";
import { requestMessage } from "./request-message.ts";

export async function transcode(
  to: { readonly bindings: readonly Binding[]; readonly control: Control },
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const [path = "", query = ""] = splitUrl(request.url);
  // A HEAD is a GET, of whose answer Node keeps back the body.
  const verb = request.method === "HEAD" ? "GET" : request.method;
  const match = findBinding(to.bindings, verb, segmentsOf(path));
  if (match.kind !== "found") throw refusal(match, path, request.method);
  const { binding, variables } = match;
  const message = requestMessage({
    binding,
    variables,
    query: new URLSearchParams(query),
    body: typeof request.body === "string" ? request.body : "",
    idempotencyKey: header(request, "idempotency-key"),
  });
  await failpoint("gateway.rest.before_call");
  const response = await to.control.call(binding.method, message, {
    headers: headersOf(request),
    signal: departureOf(reply),
  });
  await failpoint("gateway.rest.after_call");
  const file = fileOf(binding, response);
  if (file !== undefined) {
    return reply
      .code(binding.status)
      .header("content-disposition", "attachment")
      .type(file.contentType)
      .send(Buffer.from(file.data));
  }
  const answer = answerOf(binding, response);
  if (binding.status === 201) {
    const location = locationOf(binding, path, answer);
    if (location !== undefined) reply.header("location", location);
  }
  return reply.code(binding.status).type("application/json").send(JSON.stringify(answer));
}

function splitUrl(url: string): [string, string] {
  const at = url.indexOf("?");
  return at < 0 ? [url, ""] : [url.slice(0, at), url.slice(at + 1)];
}

function segmentsOf(path: string): string[] {
  try {
    return path.split("/").slice(1).map(decodeURIComponent);
  } catch {
    throw malformed(`The path ${JSON.stringify(path.slice(0, 256))} has a broken escape.`);
  }
}

function refusal(
  match: Exclude<ReturnType<typeof findBinding>, { readonly kind: "found" }>,
  path: string,
  verb: string,
): RequestProblem {
  if (match.kind === "unknown") return noSuchPath(path);
  const where = JSON.stringify(path.slice(0, 256));
  const allow = match.allowed.join(", ");
  return new RequestProblem({
    status: 405,
    code: "METHOD_NOT_ALLOWED",
    sentence: `${where} does not know ${verb}: use ${allow}.`,
    headers: { allow },
  });
}

/** Aborted when the caller goes away before it has its answer. */
function departureOf(reply: FastifyReply): AbortSignal {
  const departure = new AbortController();
  reply.raw.on("close", () => {
    if (!reply.raw.writableFinished) departure.abort();
  });
  return departure.signal;
}

function headersOf(request: FastifyRequest): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (typeof value === "string") headers.set(name, value);
  }
  headers.set("x-request-id", request.id);
  return headers;
}

function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** What is answered as it is; undefined where the answer is JSON. */
function fileOf({ answer }: Binding, response: Message): HttpBody | undefined {
  if (answer?.message?.typeName !== HttpBodySchema.typeName) return undefined;
  const body = (response as unknown as Readonly<Record<string, HttpBody | undefined>>)[
    answer.localName
  ];
  return body ?? create(HttpBodySchema);
}

function answerOf(binding: Binding, response: Message): unknown {
  const options = { useProtoFieldName: true, alwaysEmitImplicit: true } as const;
  const whole = toJson(binding.method.output, response, options) as Record<string, unknown>;
  return binding.answer === undefined ? whole : (whole[binding.answer.name] ?? {});
}

function locationOf(binding: Binding, path: string, answer: unknown): string | undefined {
  if (binding.locatedBy === undefined) return undefined;
  const id = (answer as Record<string, unknown>)[binding.locatedBy.name];
  return typeof id === "string" && id !== "" ? `${path}/${encodeURIComponent(id)}` : undefined;
}
