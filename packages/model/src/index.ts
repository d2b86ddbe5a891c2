export * from "./capability.ts";
export * from "./fault.ts";
export * from "./ids.ts";
export * from "./metric.ts";
export * from "./outcome.ts";
export * from "./plan.ts";
export * from "./tenant.ts";
export * from "./tenant-name.ts";
