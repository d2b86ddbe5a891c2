/** Bytes both ways until one side is gone. A side that is slow slows the other. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { encodeErrorResponse, type ServerReport } from "@aerodb/postgres";
import { after } from "@aerodb/runtime";
import type { ConnectionTraffic } from "./connection-traffic.ts";
import { Frames, HEAD_BYTES, onlyTypes } from "./frames.ts";

/** A session that is past authentication. */
export interface Relay {
  /** Resolves once both sides are closed. */
  readonly ended: Promise<void>;
  /**
   * Whether the server has said that it waits for a query and the client has sent nothing since:
   * then a message may be put in.
   */
  readonly idle: boolean;
  readonly traffic: ConnectionTraffic;
  /** Ends the session, with a reason when the client is at a point where it can read one. */
  end(report: ServerReport): void;
}

/** How long a client that does not read is waited for once the server is gone. */
const LAST_BYTES_MS = 10_000;
const READY = 0x5a;
const READY_BYTES = 6;
const OUTSIDE_OF_TRANSACTION = 0x49;
const LOOKS_AT = onlyTypes([READY]);

export const INSTANCE_LOST: ServerReport = {
  severity: "FATAL",
  sqlState: "57P01",
  message: "the tenant's instance ended the connection: connect again",
};

export function startRelay(sides: {
  readonly client: Socket;
  readonly server: Duplex;
  readonly traffic: ConnectionTraffic;
}): Relay {
  const { client, server, traffic } = sides;
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  void ended.then(() => traffic.closed());
  // The session begins where the server has said ReadyForQuery.
  let ready = true;
  let clientLeft = false;

  const toServer = passer(client, server);
  client.on("data", (chunk: Buffer) => {
    traffic.received(chunk.length);
    // A query, or the client's own goodbye: neither wants an error of ours.
    ready = false;
    toServer(chunk);
  });
  const answers = followed(passer(server, client), (outside) => {
    ready = true;
    if (outside) traffic.transactionEnded();
  });
  server.on("data", (chunk: Buffer) => {
    traffic.sent(chunk.length);
    try {
      answers.push(chunk);
    } catch {
      // Not the protocol: nothing that follows can be understood.
      server.destroy();
    }
  });
  for (const side of [client, server]) side.resume();
  client.on("end", () => {
    clientLeft = true;
    server.end();
  });
  // A server that has ended its side listens no longer: nothing is left but to close.
  server.on("end", () => server.end());
  client.on("close", () => {
    server.destroy();
    if (server.closed) resolve();
  });
  server.on("close", () => {
    if (ready && answers.whole && !clientLeft) writeReport(INSTANCE_LOST);
    closeSoon(client);
    if (client.closed) resolve();
  });
  // Whatever goes wrong closes the stream, which is what is acted on.
  client.on("error", () => undefined);
  server.on("error", () => undefined);

  function writeReport(report: ServerReport): void {
    if (client.writable) client.write(encodeErrorResponse(report));
  }

  return {
    ended,
    traffic,
    get idle() {
      return ready && answers.whole;
    },
    end(report) {
      if (ready && answers.whole) writeReport(report);
      ready = false;
      clientLeft = true;
      server.destroy();
    },
  };
}

/** Tells when the server is ready, and whether it is outside of a transaction. */
function followed(pass: (bytes: Buffer) => void, tell: (outside: boolean) => void): Frames {
  return new Frames({
    looksAt: LOOKS_AT,
    needs: () => READY_BYTES,
    frame(_type, _length, start) {
      tell(start[HEAD_BYTES] === OUTSIDE_OF_TRANSACTION);
      return 0;
    },
    pass,
  });
}

/** Passes bytes on; when `to` is full, `from` is not read until it has drained. */
function passer(from: Duplex, to: Duplex): (bytes: Buffer) => void {
  let waiting = false;
  return (bytes) => {
    if (!to.writable || to.write(bytes)) return;
    from.pause();
    if (waiting) return;
    waiting = true;
    to.once("drain", () => {
      waiting = false;
      from.resume();
    });
  };
}

/** Lets a client have what is on its way, for a while, and closes. */
export function closeSoon(client: Socket): void {
  const cancel = after(LAST_BYTES_MS, () => client.destroy());
  client.once("close", cancel);
  client.destroySoon();
}
