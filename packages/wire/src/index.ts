export * from "./faults.ts";
export * from "./grpc.ts";
export * from "./metrics-server.ts";
export * from "./times.ts";
