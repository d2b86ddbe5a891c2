/**
 * What those may ask who may read the gateway's home: a unix socket there, HTTP and JSON. Works
 * without control.
 */
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import { readBackendKey } from "@aerodb/postgres";
import type { Logger } from "@aerodb/runtime";
import type { CancelRequests } from "./wire/cancel-requests.ts";
import type { Connections } from "./wire/connections.ts";

/** Its name in the home. */
export const ADMIN_SOCKET = "admin.sock";
/** No key is longer. */
const MOST_BODY_BYTES = 512;
const NOTHING = Buffer.alloc(0);
/** Linux cuts off longer names of sockets. */
const MOST_BYTES = 107;
const OWNER_ONLY = 0o177;

interface AdminSettings {
  readonly home: string;
  readonly connections: Pick<Connections, "list">;
  readonly cancels: Pick<CancelRequests, "takeHere">;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Answers `GET /connections`, and takes cancel requests of gateways beside this one by
 * `POST /cancels`, a key as the protocol has it. Resolves to what closes it.
 */
export async function openAdminSocket(settings: AdminSettings): Promise<() => Promise<void>> {
  const { home, logger } = settings;
  const path = join(home, ADMIN_SOCKET);
  if (Buffer.byteLength(path) > MOST_BYTES) {
    const lost = "neither `aerodb gateway` nor gateways beside this one can ask";
    logger.warn({ path }, `the home has too long a name for a socket: ${lost}`);
    return () => Promise.resolve();
  }
  // Of a gateway that was killed.
  rmSync(path, { force: true });
  const server = createServer((request, response) => {
    void answer(request, response, settings);
  });
  const before = process.umask(OWNER_ONLY);
  try {
    server.listen(path);
    await once(server, "listening");
  } finally {
    process.umask(before);
  }
  return async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
}

/** Never rejects. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { connections, cancels, signal }: AdminSettings,
): Promise<void> {
  switch (`${request.method} ${request.url}`) {
    case "GET /connections":
      send(response, 200, { connections: connections.list() });
      return;
    case "POST /cancels": {
      const key = readBackendKey(await bodyOf(request).catch(() => NOTHING));
      if (key !== undefined) await cancels.takeHere(key, signal);
      send(response, key === undefined ? 400 : 200, {});
      return;
    }
    default:
      send(response, 404, {});
  }
}

/** Nothing where it is too long. */
async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length;
    if (bytes > MOST_BODY_BYTES) return NOTHING;
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}
