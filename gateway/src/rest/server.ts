/** The REST port: `/v1/…` by transcoding, Connect's own paths, and whether all is well. */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { after, type Logger, monotonicMs, within } from "@aerodb/runtime";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { bindingsOf } from "./bindings.ts";
import { passOn } from "./connect-proxy.ts";
import type { Control } from "./control.ts";
import {
  BUG,
  noSuchPath,
  type Problem,
  problemBody,
  problemOf,
  RequestProblem,
} from "./problem.ts";
import { type AnsweredRequest, CALLER_LEFT, routeClasses } from "./route-class.ts";
import { SERVICES } from "./services.ts";
import { transcode } from "./transcode.ts";

export interface RestSettings {
  readonly port: number;
  readonly address: string;
  readonly control: Control;
  /** Why this gateway itself does not serve, a sentence each. */
  readonly ownReasonsNotReady: () => readonly string[];
  /** What it goes without while it serves, a sentence each. */
  readonly ownReasonsDegraded: () => readonly string[];
  readonly logger: Logger;
  /** Told of each request once it is over. */
  readonly answered?: (request: AnsweredRequest) => void;
}

export interface RestServer {
  readonly port: number;
  close(): Promise<void>;
}

const SECOND_MS = 1_000;
const MOST_BODY_BYTES = 1024 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than load balancers keep a connection: whoever closes first must not be us. */
const KEEP_ALIVE_MS = 75_000;
/** How long control may take to say whether it is ready: whoever asks us asks often. */
const CONTROL_SAYS_MS = 400;
/** How long requests under way are waited for at the end. */
const GRACE_MS = 1_500;
/** A caller's own request id is kept when it is harmless. */
const REQUEST_ID = /^[\w.:-]{1,128}$/;
const SECURITY_HEADERS = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
} as const;
/** Bodies of these are JSON whatever they say; curl -d says the second. */
const READ_AS_JSON = new Set(["", "application/json", "application/x-www-form-urlencoded"]);

/** Listens. Rejects with the error of the socket, such as EADDRINUSE. */
export async function listenForRest(settings: RestSettings): Promise<RestServer> {
  const app = restApp(settings);
  await app.listen({ port: settings.port, host: settings.address });
  const bound = app.server.address();
  return {
    port: typeof bound === "object" && bound !== null ? bound.port : settings.port,
    async close() {
      const cut = after(GRACE_MS, () => app.server.closeAllConnections());
      await app.close().finally(cut);
    },
  };
}

function restApp(settings: RestSettings): FastifyInstance {
  const bindings = bindingsOf(SERVICES);
  const classOf = routeClasses(bindings);
  const app = fastify({
    bodyLimit: MOST_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: "idle",
    genReqId: requestIdOf,
    clientErrorHandler: refuseConnection,
    frameworkErrors: (_error, request, reply) => {
      void sendProblem(request, reply, unreadablePath);
    },
    routerOptions: { maxParamLength: 4_096 },
    serverFactory: (rest) => {
      const connect = connectNodeAdapter({
        routes: passOn(SERVICES, settings.control),
        fallback: (request, response) =>
          void rest(request as IncomingMessage, response as ServerResponse),
        readMaxBytes: MOST_BODY_BYTES,
        jsonOptions: { useProtoFieldName: true, alwaysEmitImplicit: true },
        grpc: false,
      });
      const timeouts = { requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS };
      return createServer(timeouts, (request, response) => {
        prepare(request, response);
        tellOf(request, response, settings, classOf);
        connect(request, response);
      });
    },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (request, body, done) => {
    const refusal = unreadableBody(request, body as Buffer);
    if (refusal === undefined) done(null, body.toString("utf8"));
    else done(refusal);
  });
  app.setErrorHandler((error, request, reply) => failed(settings.logger, error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    sendProblem(request, reply, noSuchPath(request.url).problem),
  );
  addHealth(app, settings);
  app.all("/*", (request, reply) =>
    transcode({ bindings, control: settings.control }, request, reply),
  );
  return app;
}

/** Gives every request its id, and every answer its headers, whoever makes it. */
function prepare(request: IncomingMessage, response: ServerResponse): void {
  const given = request.headers["x-request-id"];
  const id = typeof given === "string" && REQUEST_ID.test(given) ? given : randomUUID();
  request.headers["x-request-id"] = id;
  response.setHeader("x-request-id", id);
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
}

function tellOf(
  request: IncomingMessage,
  response: ServerResponse,
  { answered }: Pick<RestSettings, "answered">,
  classOf: (path: string) => string,
): void {
  if (answered === undefined) return;
  const startedMs = monotonicMs();
  response.once("close", () => {
    const status = response.headersSent ? response.statusCode : CALLER_LEFT;
    const seconds = (monotonicMs() - startedMs) / SECOND_MS;
    answered({ routeClass: classOf(request.url ?? ""), status, seconds });
  });
}

function requestIdOf(request: IncomingMessage): string {
  return String(request.headers["x-request-id"]);
}

/** Answers what is not HTTP, or has too large a head, and so never becomes a request. */
function refuseConnection(error: { readonly code?: string }, socket: Socket): void {
  if (!socket.writable) return;
  const tooLarge = error.code === "HPE_HEADER_OVERFLOW";
  const problem = tooLarge ? tooLargeHead : notHttp;
  const body = JSON.stringify(problemBody(problem, randomUUID()));
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    "content-type: application/problem+json; charset=utf-8",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/**
 * Ready is who serves, with control or without: all gateways lose control at once, and none of them
 * may be taken out for that. What is missing is said all the same.
 */
function addHealth(app: FastifyInstance, settings: RestSettings): void {
  app.get("/livez", () => ({ live: true }));
  app.get("/readyz", async (_request, reply) => {
    const own = settings.ownReasonsNotReady();
    const missing = [...settings.ownReasonsDegraded(), ...(await reasonsOf(settings.control))];
    const [ready, degraded] = [own.length === 0, missing.length > 0];
    return reply
      .code(ready ? 200 : 503)
      .send({ ready, degraded: degraded || !ready, reasons: [...own, ...missing] });
  });
}

async function reasonsOf(control: Control): Promise<readonly string[]> {
  try {
    const wait = { ms: CONTROL_SAYS_MS, expecting: "control to say whether it is ready" };
    return await within(wait, control.reasonsNotReady());
  } catch (error) {
    return [problemOf(error)?.sentence ?? "Control did not say whether it is ready."];
  }
}

function unreadableBody(request: FastifyRequest, body: Buffer): RequestProblem | undefined {
  const [said = ""] = (request.headers["content-type"] ?? "").split(";");
  const type = said.trim().toLowerCase();
  if (body.length === 0 || READ_AS_JSON.has(type) || /^application\/.+\+json$/.test(type)) {
    return undefined;
  }
  const sentence = `A body of type ${JSON.stringify(type)} cannot be read: send application/json.`;
  return new RequestProblem({ status: 415, code: "UNSUPPORTED_MEDIA_TYPE", sentence });
}

function failed(
  logger: Logger,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const problem = problemOf(error) ?? problemOfFramework(error);
  if (problem !== undefined) return sendProblem(request, reply, problem);
  logger.error({ err: error, requestId: request.id, path: request.url }, "bug in a request");
  return sendProblem(request, reply, BUG);
}

/** What fastify refuses by itself. */
function problemOfFramework(error: unknown): Problem | undefined {
  const { statusCode, code } = error as { statusCode?: number; code?: string };
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE") {
    const sentence = "The body is larger than 1 MiB.";
    return { status: 413, code: "BODY_TOO_LARGE", sentence, details: {}, headers: {} };
  }
  if (statusCode === undefined || statusCode < 400 || statusCode >= 500) return undefined;
  return { ...notHttp, status: statusCode };
}

const notHttp: Problem = {
  status: 400,
  code: "INVALID_ARGUMENT",
  sentence: "The request cannot be read as HTTP.",
  details: {},
  headers: {},
};

const tooLargeHead: Problem = {
  ...notHttp,
  status: 431,
  code: "HEADERS_TOO_LARGE",
  sentence: "The headers of the request are larger than 16 KiB.",
};

const unreadablePath: Problem = {
  ...notHttp,
  sentence: "The path of the request cannot be read.",
};

function sendProblem(request: FastifyRequest, reply: FastifyReply, problem: Problem): FastifyReply {
  return reply
    .code(problem.status)
    .headers(problem.headers)
    .type("application/problem+json")
    .send(JSON.stringify(problemBody(problem, request.id)));
}
