import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect as connectTls } from "node:tls";
import { type CertificateAuthority, openCertificateAuthority } from "@aerodb/identity/authority";
import { TenantService } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";
import { Health, HealthCheckResponse_ServingStatus } from "@aerodb/rpc/grpc/health/v1/health_pb.js";
import { ServerReflection } from "@aerodb/rpc/grpc/reflection/v1/reflection_pb.js";
import { silent } from "@aerodb/runtime";
import { callUnary, openStream } from "@aerodb/wire";
import { create, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
} from "@connectrpc/connect-node";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fakeApi, OWN } from "../api/fake-application.ts";
import { apiRouterOptions, apiRoutes } from "../api/routes.ts";
import { type ApiServer, startApiServer } from "./api-server.ts";
import { ownCertificate } from "./own-certificate.ts";

const home = mkdtempSync(join(tmpdir(), "aerodb-api-"));
const headers = { authorization: "Bearer platform:admin" };
const options = fakeApi();
let authority: CertificateAuthority;
let server: ApiServer;
let grpc: Client;

async function start(): Promise<ApiServer> {
  return startApiServer({
    bind: { host: "127.0.0.1", port: 0, flag: "--grpc-port" },
    tls: await ownCertificate(authority, ["control.example.com"]),
    handler: connectNodeAdapter({ ...apiRouterOptions(options), routes: apiRoutes(options) }),
    logger: silent,
  });
}

beforeAll(async () => {
  authority = await openCertificateAuthority(home);
  server = await start();
  grpc = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
});

afterAll(async () => {
  grpc.close();
  await server.close(100);
  rmSync(home, { recursive: true });
});

/** Sends bytes as they are and returns what comes back until the server ends the connection. */
async function exchange(bytes: string): Promise<string> {
  const socket = connect(server.port, "127.0.0.1");
  socket.write(bytes);
  return text(socket);
}

test("an independent gRPC client is answered over plaintext HTTP/2", async () => {
  const check = callUnary(grpc, Health.method.check, {}, { deadlineMs: 5_000 });
  expect((await check).status).toBe(HealthCheckResponse_ServingStatus.SERVING);
  const refused = callUnary(
    grpc,
    TenantService.method.getTenant,
    { tenant: OWN },
    { deadlineMs: 5_000 },
  );
  await expect(refused).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
});

test("a gRPC client is answered over TLS, and sees the authority in the chain", async () => {
  const transport = createGrpcTransport({
    baseUrl: `https://localhost:${server.port}`,
    nodeOptions: { ca: authority.certificate },
  });
  const { tenant } = await createClient(TenantService, transport).getTenant(
    { tenant: OWN },
    { headers },
  );
  expect(tenant?.tenantId).toBe(OWN);
  const shown = await new Promise((resolve) => {
    const socket = connectTls(
      { port: server.port, host: "127.0.0.1", rejectUnauthorized: false },
      () => {
        resolve(socket.getPeerX509Certificate()?.issuerCertificate?.subject);
        socket.destroy();
      },
    );
  });
  expect(shown).toBe("CN=AeroDB platform CA");
});

test("Connect JSON is answered over HTTP/1.1, plaintext and TLS", async () => {
  const path = "aerodb.control.v1.TenantService/GetTenant";
  const response = await fetch(`http://127.0.0.1:${server.port}/${path}`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ tenant: "acme-corp" }),
  });
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ tenant: { tenantId: OWN } });
  const transport = createConnectTransport({
    baseUrl: `https://127.0.0.1:${server.port}`,
    httpVersion: "1.1",
    nodeOptions: { ca: authority.certificate },
  });
  const { tenant } = await createClient(TenantService, transport).getTenant(
    { tenant: OWN },
    { headers },
  );
  expect(tenant?.name).toBe("acme-corp");
});

test("an unknown path is 404 and an unknown JSON field is refused by name", async () => {
  const unknown = await fetch(`http://127.0.0.1:${server.port}/nowhere`);
  expect(unknown.status).toBe(404);
  const response = await fetch(
    `http://127.0.0.1:${server.port}/aerodb.control.v1.TenantService/GetTenant`,
    {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify({ tenant: OWN, colour: "blue" }),
    },
  );
  expect(response.status).toBe(400);
  expect(await response.text()).toContain("colour");
});

test("a request over the limit is refused, and the server lives on", async () => {
  const response = await fetch(
    `http://127.0.0.1:${server.port}/aerodb.control.v1.TenantService/GetTenant`,
    {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify({ tenant: "x".repeat(3 * 1024 * 1024) }),
    },
  );
  expect(await response.json()).toMatchObject({ code: "resource_exhausted" });
});

test("malformed requests end their connection and nothing else", async () => {
  expect(await exchange("GET / HTTP/1.1\r\n\r\n")).toContain("400");
  expect(await exchange("POST //[ HTTP/1.1\r\nHost: [\r\nConnection: close\r\n\r\n")).toMatch(
    /40[04]/,
  );
  expect(await exchange("\x16\x03\x01\x00\x05hello")).toBeDefined();
  await exchange("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense instead of settings");
  const check = callUnary(grpc, Health.method.check, {}, { deadlineMs: 5_000 });
  expect((await check).status).toBe(HealthCheckResponse_ServingStatus.SERVING);
});

test("health knows every service, and no other", async () => {
  const { statuses } = await callUnary(grpc, Health.method.list, {}, { deadlineMs: 5_000 });
  expect(Object.keys(statuses)).toContain("aerodb.control.v1.TenantService");
  const unknown = callUnary(grpc, Health.method.check, { service: "x" }, { deadlineMs: 5_000 });
  await expect(unknown).rejects.toMatchObject({ code: status.NOT_FOUND });
});

test("reflection tells the files of a service to a client that knows nothing", async () => {
  const stream = openStream(grpc, ServerReflection.method.serverReflectionInfo);
  const answers: string[][] = [];
  const ended = new Promise((resolve) => stream.on("end", resolve));
  stream.on("data", ({ messageResponse: answer }) => {
    if (answer.case === "listServicesResponse") {
      answers.push(answer.value.service.map(({ name }: { name: string }) => name));
    }
    if (answer.case === "fileDescriptorResponse") {
      const files: Uint8Array[] = answer.value.fileDescriptorProto;
      answers.push(files.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name));
    }
    if (answer.case === "errorResponse") answers.push([answer.value.errorMessage]);
  });
  const { input } = ServerReflection.method.serverReflectionInfo;
  const symbol = "aerodb.control.v1.TenantService";
  for (const messageRequest of [
    { case: "listServices", value: "" } as const,
    { case: "fileContainingSymbol", value: symbol } as const,
    { case: "fileContainingSymbol", value: `${symbol}.GetTenant` } as const,
    { case: "fileByFilename", value: "google/api/annotations.proto" } as const,
    { case: "fileContainingSymbol", value: "no.such.Thing" } as const,
  ]) {
    stream.write(create(input, { messageRequest }));
  }
  stream.end();
  await ended;
  expect(answers[0]).toContain(symbol);
  expect(answers[1]).toContain("aerodb/control/v1/tenant_service.proto");
  expect(answers[1]).toContain("google/protobuf/timestamp.proto");
  expect(answers[2]).toEqual(answers[1]);
  expect(answers[3]).toContain("google/api/http.proto");
  expect(answers[4]).toEqual(["no.such.Thing is not known here"]);
});

test("a port that is taken is one sentence with the flag", async () => {
  const second = startApiServer({
    bind: { host: "127.0.0.1", port: server.port, flag: "--grpc-port" },
    tls: await ownCertificate(authority, []),
    handler: () => undefined,
    logger: silent,
  });
  await expect(second).rejects.toThrow(
    `Port ${server.port} on 127.0.0.1 is taken: choose another with --grpc-port.`,
  );
});

test("a stop tells watchers of health and ends their streams", async () => {
  const watched = fakeApi();
  const stopping = await startApiServer({
    bind: { host: "127.0.0.1", port: 0, flag: "--grpc-port" },
    tls: await ownCertificate(authority, []),
    handler: connectNodeAdapter({ ...apiRouterOptions(watched), routes: apiRoutes(watched) }),
    logger: silent,
  });
  const client = new Client(`127.0.0.1:${stopping.port}`, credentials.createInsecure());
  const seen: number[] = [];
  const call = client.makeServerStreamRequest(
    "/grpc.health.v1.Health/Watch",
    () => Buffer.alloc(0),
    (bytes: Buffer) => fromBinary(Health.method.watch.output, bytes),
    {},
    new Metadata(),
  );
  const ended = new Promise((resolve) => call.on("end", resolve));
  await new Promise<void>((resolve) => {
    call.on("data", (message) => {
      seen.push(message.status);
      resolve();
    });
  });
  watched.health.stop();
  await ended;
  await stopping.close(100);
  client.close();
  expect(seen).toEqual([
    HealthCheckResponse_ServingStatus.SERVING,
    HealthCheckResponse_ServingStatus.NOT_SERVING,
  ]);
});
