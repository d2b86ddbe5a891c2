import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type JoinRequest,
  JoinResponseSchema,
  PlatformService,
} from "@aerodb/rpc/aerodb/control/v1/platform_service_pb.js";
import { newId, newSecret, sleep } from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type CertificateAuthority, openCertificateAuthority } from "./authority.ts";
import { ensureIdentity } from "./ensure-identity.ts";
import { formatJoinToken, parseJoinToken } from "./join-token.ts";
import { peerOf, spiffeUri } from "./spiffe.ts";

let home: string;
let authority: CertificateAuthority;
let server: Http2SecureServer;
let address: string;
const hostId = newId("hst");

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "identity-"));
  authority = await openCertificateAuthority(join(home, "ca"));
  const { certificate, privateKey } = await authority.issue({
    peer: { kind: "control", id: "" },
    dnsNames: ["localhost"],
    ipAddresses: ["127.0.0.1"],
    validForDays: 1,
  });
  server = createSecureServer(
    { cert: certificate + authority.certificate, key: privateKey },
    connectNodeAdapter({
      routes: (router) => {
        router.rpc(PlatformService.method.join, answerJoin);
      },
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  rmSync(home, { recursive: true });
});

async function answerJoin(request: JoinRequest) {
  return create(JoinResponseSchema, {
    id: hostId,
    certificate: await authority.certify(request.certificateRequest, {
      peer: { kind: "host", id: hostId },
      dnsNames: [],
      ipAddresses: [],
      validForDays: 1,
    }),
    caCertificate: authority.certificate,
    linkAddress: "127.0.0.1:1",
  });
}

function join1(directory: string, caFingerprint: string) {
  return ensureIdentity({
    directory: join(home, directory),
    kind: "host",
    apiAddress: address,
    joinToken: formatJoinToken({ id: newId("hst").slice(4), secret: newSecret(), caFingerprint }),
    name: "host-1",
    signal: AbortSignal.timeout(10_000),
  });
}

test("an authority opened again is the same, and its key is for its owner only", async () => {
  const again = await openCertificateAuthority(join(home, "ca"));
  expect(again.fingerprint).toBe(authority.fingerprint);
  expect(statSync(join(home, "ca/ca.key")).mode & 0o777).toBe(0o600);
});

test("with a passphrase the authority's key is encrypted at rest", async () => {
  const directory = join(home, "sealed");
  const sealed = await openCertificateAuthority(directory, "open sesame");
  expect(readFileSync(join(directory, "ca.key"), "utf8")).toContain("ENCRYPTED");
  const again = await openCertificateAuthority(directory, "open sesame");
  expect(again.fingerprint).toBe(sealed.fingerprint);
  await expect(openCertificateAuthority(directory, "wrong")).rejects.toThrow();
});

test("joining gives a certificate that names exactly the host, and joining again changes nothing", async () => {
  const identity = await join1("agent", authority.fingerprint);
  const certificate = new X509Certificate(identity.certificate);
  expect(peerOf({ subjectaltname: certificate.subjectAltName })).toEqual({
    kind: "host",
    id: hostId,
  });
  expect(await join1("agent", authority.fingerprint)).toEqual(identity);
});

test("a server whose authority the token does not pin is refused before anything is sent", async () => {
  await expect(join1("other", "0".repeat(64))).rejects.toMatchObject({
    code: "PERMISSION_DENIED",
  });
});

/** What is said to a host that waits for a control at an address. */
async function toldWhileWaiting(apiAddress: string): Promise<readonly string[]> {
  const told: string[] = [];
  const stop = new AbortController();
  const joining = ensureIdentity({
    directory: join(home, "waiting"),
    kind: "host",
    apiAddress,
    joinToken: formatJoinToken({
      id: newId("hst").slice(4),
      secret: newSecret(),
      caFingerprint: authority.fingerprint,
    }),
    name: "host-1",
    waits: (because) => told.push(because),
    signal: stop.signal,
  });
  joining.catch(() => undefined);
  await vi.waitUntil(() => told.length > 0, { timeout: 10_000 });
  await sleep(1_000);
  stop.abort();
  await expect(joining).rejects.toThrow();
  return told;
}

test("who cannot reach control is told so, and is told once", async () => {
  // Nobody listens on the first of all ports.
  expect(await toldWhileWaiting("127.0.0.1:1")).toEqual([
    expect.stringMatching(/^control at 127\.0\.0\.1:1 does not answer: /),
  ]);
});

test("who asks at a port without TLS is told what is wrong with the address", async () => {
  const plain = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
  const { port } = plain.address() as AddressInfo;
  try {
    expect(await toldWhileWaiting(`127.0.0.1:${port}`)).toEqual([
      `what answers at 127.0.0.1:${port} does not speak TLS: is this control's gRPC address?`,
    ]);
  } finally {
    plain.close();
  }
});

test("a forged signing request is refused", async () => {
  const ask = { peer: { kind: "host", id: hostId }, dnsNames: [], ipAddresses: [] } as const;
  await expect(
    authority.certify("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", { ...ask, validForDays: 1 }),
  ).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
});

test("join tokens are read as they are written, and nothing else is", () => {
  const token = { id: newId("hst").slice(4), secret: newSecret(), caFingerprint: "a".repeat(64) };
  expect(parseJoinToken(formatJoinToken(token))).toEqual(token);
  expect(() => parseJoinToken("adb_join_x")).toThrow("malformed");
});

test("a certificate that names two, or another domain, or an id of another kind, names nobody", () => {
  const uri = spiffeUri({ kind: "host", id: hostId });
  expect(peerOf({ subjectaltname: `URI:${uri}` })?.id).toBe(hostId);
  expect(peerOf({ subjectaltname: `URI:${uri}, URI:${uri}` })).toBeUndefined();
  expect(peerOf({ subjectaltname: `URI:spiffe://evil/host/${hostId}` })).toBeUndefined();
  expect(peerOf({ subjectaltname: `URI:spiffe://aerodb/gateway/${hostId}` })).toBeUndefined();
  expect(peerOf({ subjectaltname: `URI:spiffe://aerodb/host/${hostId}/x` })).toBeUndefined();
});
