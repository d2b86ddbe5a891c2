export * from "./faults.ts";
export * from "./grpc.ts";
export * from "./times.ts";
