/**
 * The bytes of one Postgres connection over an agent's HostEdgeService, as a stream like any other.
 */
import { Duplex } from "node:stream";
import {
  type ConnectRequestSchema,
  type ConnectResponse,
  HostEdgeService,
  ConnectRequestSchema as requestSchema,
} from "@aerodb/rpc/aerodb/edge/v1/host_edge_service_pb.js";
import { type CallingClient, openStream } from "@aerodb/wire";
import { create, type MessageInitShape } from "@bufbuild/protobuf";

/** Opens a connection to an instance. What the agent refuses, closes the stream with an error. */
export function openEdgeStream(client: CallingClient, instanceId: string): Duplex {
  const call = openStream(client, HostEdgeService.method.connect);
  const stream = new Duplex({
    allowHalfOpen: true,
    read: () => call.resume(),
    write: (chunk: Buffer, _encoding, done) => void send({ data: chunk }, done),
    final(done) {
      call.end();
      done();
    },
    destroy(error, done) {
      call.cancel();
      done(error);
    },
  });

  function send(message: MessageInitShape<typeof ConnectRequestSchema>, done?: () => void): void {
    call.write(create(requestSchema, message), done);
  }

  call.on("data", (message: ConnectResponse) => {
    if (message.data.length === 0) return;
    if (
      !stream.push(Buffer.from(message.data.buffer, message.data.byteOffset, message.data.length))
    )
      call.pause();
  });
  call.on("end", () => stream.push(null));
  call.on("error", (error) => stream.destroy(error));
  send({ instanceId });
  return stream;
}
