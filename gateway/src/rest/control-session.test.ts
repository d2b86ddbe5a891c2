/** Against a control that is there and says nothing, as one that was stopped by a signal. */
import { mkdtempSync, rmSync } from "node:fs";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HeldKeys } from "@aerodb/identity";
import { openCertificateAuthority } from "@aerodb/identity/authority";
import { TenantService } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";
import { silent, sleep } from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { connectControl } from "./control.ts";
import { listenForRest } from "./server.ts";

const directory = mkdtempSync(join(tmpdir(), "aerodb-session-"));
const TIMES = { pingEveryMs: 100, patienceMs: 500 };
const { getTenant } = TenantService.method;

let server: Http2SecureServer;
let road: Awaited<ReturnType<typeof openRoad>>;
let control: ReturnType<typeof connectControl>;
/** What getTenant waits for. */
let answering: Promise<void> = Promise.resolve();
let asked = 0;

beforeAll(async () => {
  const authority = await openCertificateAuthority(directory);
  const issue = (peer: { readonly kind: "control" | "gateway"; readonly id: string }) =>
    authority.issue({ peer, dnsNames: [], ipAddresses: ["127.0.0.1"], validForDays: 1 });
  const { certificate: cert, privateKey: key } = await issue({ kind: "control", id: "" });
  const routes = connectNodeAdapter({
    routes: (router) =>
      router.service(TenantService, {
        async getTenant() {
          asked += 1;
          await answering;
          return { tenant: { name: "acme" } };
        },
      }),
  });
  server = createSecureServer({ cert, key }, routes);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  road = await openRoad((server.address() as AddressInfo).port);
  const own = await issue({ kind: "gateway", id: "gtw_01jc7w4x9dep8t3w8rj0sxv5n2" });
  const keys = new HeldKeys({ ...own, caCertificate: authority.certificate });
  control = connectControl({ apiAddress: `127.0.0.1:${road.port}`, keys }, TIMES);
});

afterAll(() => {
  control.close();
  road.close();
  server.close();
  rmSync(directory, { recursive: true });
});

beforeEach(() => {
  answering = Promise.resolve();
  asked = 0;
});

/** A way to a port that can be blocked: connections stay, and are still made, and say nothing. */
async function openRoad(port: number) {
  const ends = new Set<Socket>();
  let blocked = false;
  const listener = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    near.pipe(far).pipe(near);
    for (const end of [near, far]) {
      ends.add(end);
      end.on("error", () => undefined).on("close", () => ends.delete(end));
      if (blocked) end.unpipe().pause();
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return {
    port: (listener.address() as AddressInfo).port,
    block() {
      blocked = true;
      for (const end of ends) end.unpipe().pause();
    },
    unblock() {
      blocked = false;
      for (const end of ends) end.destroy();
    },
    close() {
      for (const end of ends) end.destroy();
      listener.close();
    },
  };
}

function ask() {
  const caller = { headers: new Headers(), signal: new AbortController().signal };
  return control.call(getTenant, create(getTenant.input, { tenant: "acme" }), caller);
}

test("a call that takes long goes on while control gives signs of life", async () => {
  answering = sleep(3 * TIMES.patienceMs);
  expect(await ask()).toMatchObject({ tenant: { name: "acme" } });
});

test("a call under way and those that follow fail when control says nothing, until it does", async () => {
  const never = Promise.withResolvers<void>();
  answering = never.promise;
  const underWay = ask();
  await expect.poll(() => asked).toBe(1);
  road.block();
  await expect(underWay).rejects.toMatchObject({ code: Code.Unavailable });
  const others = await Promise.allSettled([ask(), ask(), ask()]);
  for (const other of [...others, ...(await Promise.allSettled([ask()]))]) {
    expect(other).toMatchObject({ status: "rejected", reason: { code: Code.Unavailable } });
  }
  road.unblock();
  answering = Promise.resolve();
  never.resolve();
  expect(await ask()).toMatchObject({ tenant: { name: "acme" } });
});

test("REST answers 503 then, and says what is the matter", async () => {
  const rest = await listenForRest({
    ...{ port: 0, address: "127.0.0.1", control, logger: silent },
    ownReasonsNotReady: () => [],
    ownReasonsDegraded: () => [],
  });
  await ask();
  road.block();
  const response = await fetch(`http://127.0.0.1:${rest.port}/v1/tenants/acme`);
  expect(response.status).toBe(503);
  expect(response.headers.get("content-type")).toContain("application/problem+json");
  const problem = (await response.json()) as { readonly detail: string };
  expect(problem.detail).toContain("control server does not answer");
  road.unblock();
  await rest.close();
});
