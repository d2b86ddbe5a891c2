/**
 * What those may ask who may read the gateway's home: a unix socket there, HTTP and JSON. Works
 * without control.
 */
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import type { Logger } from "@aerodb/runtime";
import type { Connections } from "./wire/connections.ts";

/** Linux cuts off longer names of sockets. */
const MOST_BYTES = 107;
const OWNER_ONLY = 0o177;

/** Answers `GET /connections`. Resolves to what closes it. */
export async function openAdminSocket(
  home: string,
  connections: Pick<Connections, "list">,
  logger: Logger,
): Promise<() => Promise<void>> {
  const path = join(home, "admin.sock");
  if (Buffer.byteLength(path) > MOST_BYTES) {
    logger.warn({ path }, "the home has too long a name for a socket: `aerodb gateway` cannot ask");
    return () => Promise.resolve();
  }
  // Of a gateway that was killed.
  rmSync(path, { force: true });
  const server = createServer((request, response) => {
    const known = request.method === "GET" && request.url === "/connections";
    response.writeHead(known ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(known ? { connections: connections.list() } : {}));
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
