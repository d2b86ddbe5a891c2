/**
 * The listener of the API. One port speaks TLS (HTTP/2 and HTTP/1.1) and, to this machine itself
 * only, plaintext HTTP/2 and HTTP/1.1: the first bytes of a connection tell which.
 */
import { createServer as createHttpServer } from "node:http";
import {
  createServer as createHttp2Server,
  createSecureServer,
  type SecureServerOptions,
  type ServerHttp2Session,
} from "node:http2";
import { createServer, type Socket } from "node:net";
import { after, type Logger } from "@aerodb/runtime";
import type { ApiHandler } from "./api-handler.ts";
import { type BindAsk, bind } from "./bind.ts";
import { plainSentences } from "./grpc-message.ts";
import { type Opening, sniff } from "./sniff.ts";

/** Certificate chain and key of the server, and the authorities of client certificates, PEM. */
export interface TlsMaterial {
  readonly certificate: string;
  readonly privateKey: string;
  readonly caCertificate: string;
}

export interface ApiServer {
  readonly port: number;
  /** Connections made from now on are shown this. */
  showCertificate(tls: TlsMaterial): void;
  /** Lets what runs end, for at most `graceMs`, then ends it. */
  close(graceMs: number): Promise<void>;
}

/** How long a client may take to say what it wants, step by step. */
const OPENING_MS = 10_000;
const HANDSHAKE_MS = 10_000;
const REQUEST_MS = 60_000;
const MAX_CONNECTIONS = 10_000;
const SETTINGS = { maxConcurrentStreams: 1_000 } as const;

export async function startApiServer(options: {
  readonly bind: BindAsk;
  readonly tls: TlsMaterial;
  readonly handler: ApiHandler;
  readonly logger: Logger;
}): Promise<ApiServer> {
  const { logger } = options;
  const handler = withRequestDeadline(guarded(plainSentences(options.handler), logger));
  const servers = openServers(options.tls, handler, logger);
  const sockets = new Set<Socket>();

  const listener = createServer({ noDelay: true }, (socket) => {
    remember(sockets, socket);
    socket.on("error", () => socket.destroy());
    const tooSlow = after(OPENING_MS, () => socket.destroy());
    socket.once("close", tooSlow);
    sniff(socket, (opening) => {
      tooSlow();
      servers.pass(socket, opening);
    });
  });
  listener.maxConnections = MAX_CONNECTIONS;
  const port = await bind(listener, options.bind);
  listener.on("error", (error) => logger.error({ err: error }, "the API listener broke"));

  return {
    port,
    showCertificate: (tls) => servers.showCertificate(tls),
    async close(graceMs) {
      const closed = new Promise<void>((resolve) => {
        listener.close(() => resolve());
      });
      servers.drain();
      const cancel = after(graceMs, () => {
        for (const socket of sockets) socket.destroy();
      });
      await closed;
      cancel();
    },
  };
}

/** The servers behind the listener. They listen nowhere: connections are passed to them. */
interface Servers {
  pass(socket: Socket, opening: Opening): void;
  showCertificate(tls: TlsMaterial): void;
  /** Takes no more requests; those that run may end. */
  drain(): void;
}

function openServers(tls: TlsMaterial, handler: ApiHandler, logger: Logger): Servers {
  const limits = { requestTimeout: REQUEST_MS, headersTimeout: OPENING_MS };
  const plain1 = createHttpServer(limits, handler);
  const plain2 = createHttp2Server({ settings: SETTINGS }, handler);
  const secure = createSecureServer(secureOptions(tls), handler);
  const sessions = new Set<ServerHttp2Session>();
  for (const server of [plain2, secure]) {
    server.on("session", (session) => remember(sessions, session));
    // A broken session or handshake ends that connection and nothing else.
    server.on("sessionError", (error) => logger.debug({ err: error }, "a session broke"));
  }
  secure.on("tlsClientError", (error) => logger.debug({ err: error }, "a TLS handshake failed"));

  return {
    pass(socket, opening) {
      switch (opening) {
        case "tls":
          secure.emit("connection", socket);
          return;
        case "http2":
          plain2.emit("connection", socket);
          return;
        case "http1":
          plain1.emit("connection", socket);
          socket.resume();
          return;
        case "not_allowed":
          socket.destroy();
          return;
      }
    },
    showCertificate(next) {
      secure.setSecureContext(secureOptions(next));
    },
    drain() {
      plain1.closeIdleConnections();
      for (const session of sessions) session.close();
    },
  };
}

function secureOptions(tls: TlsMaterial): SecureServerOptions {
  return {
    cert: tls.certificate,
    key: tls.privateKey,
    ca: tls.caCertificate,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: "TLSv1.2",
    allowHTTP1: true,
    handshakeTimeout: HANDSHAKE_MS,
    settings: SETTINGS,
  };
}

function remember<Item extends { once(event: "close", listener: () => void): unknown }>(
  items: Set<Item>,
  item: Item,
): void {
  items.add(item);
  item.once("close", () => items.delete(item));
}

/** A request so malformed that the handler throws is answered 400; it must not end the process. */
function guarded(handler: ApiHandler, logger: Logger): ApiHandler {
  return (request, response) => {
    try {
      handler(request, response);
    } catch (error) {
      logger.debug({ err: error }, "a malformed request");
      response.statusCode = 400;
      response.end();
    }
  };
}

/** Ends a request whose body has not come whole in time. */
function withRequestDeadline(handler: ApiHandler): ApiHandler {
  return (request, response) => {
    const cancel = after(REQUEST_MS, () => {
      if (!request.complete) request.destroy();
    });
    response.once("close", cancel);
    handler(request, response);
  };
}
