/**
 * A relay of Node that does nothing but pass bytes on: below its cost no gateway in this language
 * can come. Knows as much of the protocol as it takes to begin TLS. Started with a port, a socket,
 * and files of a certificate and its key.
 */
import { readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";

const SSL_REQUEST = 80_877_103;
const [port, path = "", certificate = "", key = ""] = process.argv.slice(2);
const secureContext = createSecureContext({
  cert: readFileSync(certificate),
  key: readFileSync(key),
});

createServer({ noDelay: true }, (socket) => {
  socket.once("data", (first: Buffer) => {
    if (first.length === 8 && first.readUInt32BE(4) === SSL_REQUEST) {
      socket.write("S");
      relay(new TLSSocket(socket, { isServer: true, secureContext }), Buffer.alloc(0));
    } else {
      relay(socket, first);
    }
  });
  socket.on("error", () => socket.destroy());
}).listen(Number(port), "127.0.0.1");

function relay(client: Socket, first: Buffer): void {
  const server = connect(path);
  if (first.length > 0) server.write(first);
  pass(client, server);
  pass(server, client);
}

function pass(from: Socket, to: Socket): void {
  from.on("data", (chunk: Buffer) => {
    if (to.write(chunk)) return;
    from.pause();
    to.once("drain", () => from.resume());
  });
  from.on("error", () => undefined);
  from.on("close", () => to.destroy());
}
