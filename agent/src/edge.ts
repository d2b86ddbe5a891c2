/**
 * What the agent does for gateways, with or without control: wakes instances and relays to them.
 */
import type { Socket } from "node:net";
import { Fault, type InstanceId, isId } from "@aerodb/model";
import { connectInstance } from "@aerodb/postgres";
import {
  type ConnectRequest,
  type ConnectResponse,
  ConnectResponseSchema,
  HostEdgeService,
  type WakeRequest,
  type WakeResponse,
  WakeResponseSchema,
} from "@aerodb/rpc/aerodb/edge/v1/host_edge_service_pb.js";
import { GRPC_OPTIONS, grpcError, grpcService } from "@aerodb/wire";
import { create } from "@bufbuild/protobuf";
import {
  Server,
  type ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { type ByteStream, relay } from "./relay.ts";
import type { Wakings } from "./wakings.ts";

type AnyCall =
  | ServerUnaryCall<WakeRequest, WakeResponse>
  | ServerDuplexStream<ConnectRequest, ConnectResponse>;

export interface EdgeOptions {
  readonly wakings: Wakings;
  readonly credentials: ServerCredentials;
  readonly listenAddress: string;
  readonly port: number;
  /** Whether the caller is a gateway. */
  readonly isGateway: (call: AnyCall) => boolean;
}

export interface Edge {
  readonly port: number;
  close(): void;
}

/** Serves gateways. Throws UNAVAILABLE when the port is taken. */
export async function serveEdge(options: EdgeOptions): Promise<Edge> {
  const { wakings, isGateway } = options;
  const server = new Server(GRPC_OPTIONS);
  server.addService(grpcService(HostEdgeService), {
    wake(call: ServerUnaryCall<WakeRequest, WakeResponse>, answer: sendUnaryData<WakeResponse>) {
      wake(call).then(
        () => answer(null, create(WakeResponseSchema)),
        (error: unknown) => answer(grpcError(error)),
      );
    },
    connect(call: ServerDuplexStream<ConnectRequest, ConnectResponse>) {
      accept(call).catch((error: unknown) => call.emit("error", grpcError(error)));
    },
  });

  async function wake(call: ServerUnaryCall<WakeRequest, WakeResponse>): Promise<void> {
    requireGateway(call);
    await wakings.wake(readId(call.request.instanceId), call.getDeadline());
  }

  async function accept(call: ServerDuplexStream<ConnectRequest, ConnectResponse>): Promise<void> {
    requireGateway(call);
    const first = await firstMessage(call);
    const directory = wakings.socketDirectory(readId(first.instanceId));
    const socket = await dial(directory);
    if (first.data.length > 0) socket.write(first.data);
    relay(byteStream(call), socket);
    call.resume();
  }

  function requireGateway(call: AnyCall): void {
    if (isGateway(call)) return;
    throw new Fault("PERMISSION_DENIED", "Only gateways are served here.");
  }

  return { port: await listen(server, options), close: () => server.forceShutdown() };
}

function readId(text: string): InstanceId {
  if (isId("ins", text)) return text;
  throw new Fault("INVALID_ARGUMENT", `${JSON.stringify(text)} is no id of an instance.`);
}

/** The message that names the instance. Bytes that follow wait until the instance is reached. */
function firstMessage(
  call: ServerDuplexStream<ConnectRequest, ConnectResponse>,
): Promise<ConnectRequest> {
  const { promise, resolve, reject } = Promise.withResolvers<ConnectRequest>();
  call.once("data", (message: ConnectRequest) => {
    call.pause();
    resolve(message);
  });
  const gone = new Fault("INVALID_ARGUMENT", "The stream ended before it named an instance.");
  call.once("end", () => reject(gone));
  call.once("cancelled", () => reject(gone));
  return promise;
}

function dial(socketDirectory: string): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connectInstance(socketDirectory, { allowHalfOpen: true });
  socket.once("connect", () => resolve(socket));
  socket.once("error", (cause) => {
    reject(new Fault("UNAVAILABLE", "The instance does not accept connections.", { cause }));
  });
  return promise;
}

function byteStream(call: ServerDuplexStream<ConnectRequest, ConnectResponse>): ByteStream {
  return {
    onData: (receive) => call.on("data", ({ data }: ConnectRequest) => receive(data)),
    onEnd: (done) => call.on("end", done),
    onClose: (gone) => {
      call.on("cancelled", gone);
      call.on("error", gone);
    },
    write: (data) => call.write(create(ConnectResponseSchema, { data })),
    onDrain: (ready) => call.on("drain", ready),
    pause: () => call.pause(),
    resume: () => call.resume(),
    end: () => call.end(),
  };
}

function listen(server: Server, options: EdgeOptions): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const address = `${options.listenAddress}:${options.port}`;
  server.bindAsync(address, options.credentials, (error, port) => {
    if (error === null) return resolve(port);
    const message = `Port ${options.port} is taken: choose another with AERODB_AGENT_EDGE_PORT.`;
    reject(new Fault("UNAVAILABLE", message, { cause: error }));
  });
  return promise;
}
