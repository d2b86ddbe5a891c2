/** Who gets through to control, who may renew, and how fast that ends. Over real TLS. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type KeyMaterial, type Peer, peerOf, signingRequest } from "@aerodb/identity";
import { openCertificateAuthority } from "@aerodb/identity/authority";
import { IdentityService } from "@aerodb/rpc/aerodb/agent/v1/identity_service_pb.js";
import { LinkService } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { newId, now, sleep } from "@aerodb/runtime";
import { callUnary, encodeTime } from "@aerodb/wire";
import { type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ownCertificate } from "../server/own-certificate.ts";
import { dialled, GATEWAY, HOST, type LinkBench, openLinkBench, showing } from "./link-bench.ts";

const HOUR_MS = 3_600_000;
let bench: LinkBench;
beforeEach(async () => {
  bench = await openLinkBench({ lookMs: 20 });
});
afterEach(async () => {
  vi.useRealTimers();
  await bench.close();
});

/** A hello that was sent at a time, by the agent's clock. */
function helloAt(sentAt: Date) {
  const value = { agentVersion: "0.1.0", fingerprint: { bootId: "b" }, sentAt: encodeTime(sentAt) };
  return { message: { case: "hello", value } } as const;
}

/** What the stream of a host ends with; `connected` when it is served. */
async function dialShowing(shown: KeyMaterial): Promise<number | "connected"> {
  const stream = dialled(bench.clientOf(shown), LinkService.method.connect);
  stream.send(helloAt(now()));
  const served = stream.next().then(() => "connected" as const);
  served.catch(() => undefined);
  return Promise.race([served, stream.ended.then((error) => error?.code ?? -1)]);
}

/** A certificate that our authority issues at another time. */
async function issuedAt(at: number, peer: Peer, validForDays = 1): Promise<KeyMaterial> {
  vi.useFakeTimers({ toFake: ["Date"], now: at });
  try {
    return await showing(bench.authority, peer, validForDays);
  } finally {
    vi.useRealTimers();
  }
}

async function renew(shown: KeyMaterial, request = signingRequest(keyOf(shown), "x")) {
  const { renew: method } = IdentityService.method;
  const ask = { certificateRequest: request };
  return callUnary(bench.clientOf(shown), method, ask, { deadlineMs: 5_000 });
}

function keyOf({ privateKey }: KeyMaterial) {
  return createPrivateKey(privateKey);
}

async function refusalOf(call: Promise<unknown>): Promise<ServiceError> {
  return call.then(
    () => expect.fail("was answered"),
    (error: ServiceError) => error,
  );
}

async function eventually(claim: () => boolean): Promise<void> {
  for (let tries = 0; !claim() && tries < 500; tries += 1) await sleep(10);
  expect(claim(), `did not come true: ${claim}`).toBe(true);
}

test("a certificate of another authority gets nobody in, whatever it says", async () => {
  const directory = mkdtempSync(join(tmpdir(), "aerodb-other-ca-"));
  const other = await openCertificateAuthority(directory);
  const forged = { ...(await showing(other, HOST)), caCertificate: bench.authority.certificate };
  expect(await dialShowing(forged)).toBe(status.UNAVAILABLE);
  expect((await refusalOf(renew(forged))).code).toBe(status.UNAVAILABLE);
  expect(bench.fleet.hellos).toEqual([]);
  rmSync(directory, { recursive: true });
});

test("an expired certificate gets nobody in, and cannot be renewed any more", async () => {
  const expired = await issuedAt(Date.now() - 2 * 24 * HOUR_MS, HOST);
  expect(await dialShowing(expired)).toBe(status.UNAVAILABLE);
  expect((await refusalOf(renew(expired))).code).toBe(status.UNAVAILABLE);
});

test("a clock up to an hour off is tolerated, and one further off is not", async () => {
  const ahead = Date.now() + HOUR_MS / 2;
  expect(await dialShowing(await issuedAt(ahead, HOST))).toBe("connected");
  expect(await dialShowing(await issuedAt(ahead + HOUR_MS, HOST))).toBe(status.UNAVAILABLE);
});

test("control's certificate, a gateway's, and a host's each open only what is theirs", async () => {
  const asControl = await showing(bench.authority, { kind: "control", id: "" });
  expect(await dialShowing(asControl)).toBe(status.PERMISSION_DENIED);
  expect(await dialShowing(await showing(bench.authority, GATEWAY))).toBe(status.PERMISSION_DENIED);
  expect((await refusalOf(renew(asControl))).code).toBe(status.PERMISSION_DENIED);
  const asHost = await bench.dialGateway(HOST);
  asHost.send({ gatewayVersion: "0.1.0" });
  expect((await asHost.ended)?.code).toBe(status.PERMISSION_DENIED);
});

test.each([HOST, GATEWAY])(
  "$kind renews for its own id, whatever the request says",
  async (peer) => {
    const shown = await showing(bench.authority, peer);
    const answer = await renew(shown, signingRequest(keyOf(shown), "spiffe://aerodb/control"));
    const certificate = new X509Certificate(answer.certificate);
    expect(peerOf({ subjectaltname: certificate.subjectAltName })).toEqual(peer);
    expect(bench.renewed).toEqual([certificate.serialNumber]);
    expect(answer.caCertificate).toBe(bench.authority.trusted);
    expect(await renew({ ...shown, certificate: answer.certificate })).toBeDefined();
  },
);

test("a request that is forged or too long is refused", async () => {
  const shown = await showing(bench.authority, HOST);
  for (const request of ["no PEM", "x".repeat(20_000)]) {
    expect((await refusalOf(renew(shown, request))).code).toBe(status.INVALID_ARGUMENT);
  }
  expect(bench.renewed).toEqual([]);
});

test("who is revoked loses the stream at once, and can open and renew nothing", async () => {
  const shown = await showing(bench.authority, HOST);
  const stream = dialled(bench.clientOf(shown), LinkService.method.connect);
  const bystander = await bench.dialAgent({ kind: "host", id: newId("hst") });
  for (const each of [stream, bystander]) {
    each.send(helloAt(now()));
    await each.next();
  }
  bench.fleet.revoked.add(HOST.id);
  bench.fleet.nudge();
  const ended = await stream.ended;
  expect(ended).toMatchObject({ code: status.PERMISSION_DENIED });
  expect(ended?.details).toContain("was revoked");
  expect(await dialShowing(shown)).toBe(status.PERMISSION_DENIED);
  expect((await refusalOf(renew(shown))).code).toBe(status.PERMISSION_DENIED);
  await eventually(() => bench.agents.connectedHosts.length === 1);
});

test("a revoked gateway loses its stream, and one that is not goes on", async () => {
  const [gateway, other] = [
    await bench.dialGateway(),
    await bench.dialGateway({ kind: "gateway", id: newId("gtw") }),
  ];
  for (const each of [gateway, other]) {
    each.send({ gatewayVersion: "0.1.0" });
    await each.next();
  }
  bench.fleet.revoked.add(GATEWAY.id);
  bench.fleet.nudge();
  expect((await gateway.ended)?.code).toBe(status.PERMISSION_DENIED);
  bench.fleet.table = { ...bench.fleet.table, generation: 2n };
  bench.fleet.nudge();
  expect(await other.next()).toMatchObject({ generation: 2n });
});

test("the clock of an agent is compared with ours, and the truest message counts", async () => {
  const agent = await bench.dialAgent();
  agent.send(helloAt(new Date(Date.now() + 60_000)));
  await agent.next();
  await eventually(() => bench.fleet.clockOffsets.length === 1);
  const late = { sentAt: encodeTime(new Date(Date.now() + 10_000)) };
  agent.send({ message: { case: "heartbeat", value: late } });
  await eventually(() => bench.fleet.clockOffsets.length >= 2);
  for (const ms of bench.fleet.clockOffsets) {
    expect(ms).toBeGreaterThan(55_000);
    expect(ms).toBeLessThanOrEqual(60_000);
  }
});

test("control shows a new certificate to new connections, and those that are open go on", async () => {
  const shown = await showing(bench.authority, HOST);
  const client = bench.clientOf(shown);
  const stream = dialled(client, LinkService.method.connect);
  stream.send(helloAt(now()));
  await stream.next();
  bench.keys.replace(await ownCertificate(bench.authority, []));
  expect(await dialShowing(await showing(bench.authority, GATEWAY))).toBe(status.PERMISSION_DENIED);
  bench.fleet.desired = { ...bench.fleet.desired, generation: 9n };
  expect(bench.agents.connectedHosts).toEqual([HOST.id]);
  const other: Peer = { kind: "host", id: newId("hst") };
  expect(await dialShowing(await showing(bench.authority, other))).toBe("connected");
  expect(bench.agents.connectedHosts).toHaveLength(2);
});
