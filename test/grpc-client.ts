/**
 * A gRPC client that shares no code with the platform: `@grpc/grpc-js` over the `.proto` files as
 * they are published, loaded at run time.
 */
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import type { AnyBody } from "./platform-client.ts";
import { REPOSITORY } from "./program.ts";

export interface GrpcCaller {
  /** Calls a unary RPC by its name, for example `CreateTenant`. */
  readonly call: (method: string, message: object, key?: string) => Promise<AnyBody>;
  readonly stream: (method: string) => grpc.ClientDuplexStream<object, AnyBody>;
  readonly close: () => void;
}

/** A client of one service, for example `aerodb.control.v1.TenantService`. */
export function grpcClient(options: {
  readonly address: string;
  readonly file: string;
  readonly service: string;
  readonly credentials?: grpc.ChannelCredentials;
}): GrpcCaller {
  const definition = loader.loadSync(options.file, {
    includeDirs: [`${REPOSITORY}/proto`, `${REPOSITORY}/third_party`],
    keepCase: true,
    longs: String,
    defaults: true,
  });
  const service = definition[options.service] as grpc.ServiceDefinition;
  const Client = grpc.makeGenericClientConstructor(service, options.service);
  const client = new Client(
    options.address,
    options.credentials ?? grpc.credentials.createInsecure(),
  ) as AnyBody;
  return {
    call: (method, message, key) =>
      new Promise((resolve, reject) => {
        const metadata = new grpc.Metadata();
        if (key !== undefined) metadata.set("authorization", `Bearer ${key}`);
        const deadline = Date.now() + 60_000;
        client[method](message, metadata, { deadline }, (error: unknown, answer: AnyBody) =>
          error === null ? resolve(answer) : reject(error),
        );
      }),
    stream: (method) => client[method](),
    close: () => client.close(),
  };
}
