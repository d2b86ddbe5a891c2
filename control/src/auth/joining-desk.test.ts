import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lifeOf, parseJoinToken, peerOf } from "@aerodb/identity";
import { type CertificateAuthority, openCertificateAuthority } from "@aerodb/identity/authority";
import type { HostId } from "@aerodb/model";
import { newId, newSecret } from "@aerodb/runtime";
import { Pkcs10CertificateRequestGenerator } from "@peculiar/x509";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JoinRequest } from "../app/joining.ts";
import { type JoinBook, openJoiningDesk } from "./joining-desk.ts";

const CALLER = { principal: "key_1", requestId: "request-1" };
const HOST = newId("hst") as HostId;
const TOKEN = { id: newId("key").slice("key_".length), secret: newSecret() };
const home = mkdtempSync(join(tmpdir(), "aerodb-desk-"));
const asked: JoinRequest[] = [];
const recorded: Parameters<JoinBook["recordCertificate"]>[0][] = [];
let authority: CertificateAuthority;
let request: string;

beforeAll(async () => {
  authority = await openCertificateAuthority(home);
  request = await signingRequest();
});
afterAll(() => rmSync(home, { recursive: true }));

async function signingRequest(): Promise<string> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
  const made = await Pkcs10CertificateRequestGenerator.create({
    name: "CN=the-joiner-says-control",
    keys: await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]),
    signingAlgorithm: algorithm,
  });
  return made.toString("pem");
}

function desk(of: CertificateAuthority = authority) {
  return openJoiningDesk(
    {
      createJoinToken: async () => ({ ...TOKEN, expiresAt: new Date() }),
      join: async (ask) => {
        asked.push(ask);
        return { kind: "host", id: HOST };
      },
      recordCertificate: async (certificate) => {
        recorded.push(certificate);
      },
    },
    of,
    {
      addresses: {
        linkAddress: "control.example.com:9091",
        apiAddress: "control.example.com:9090",
      },
      certificateDays: 7,
    },
  );
}

async function tokenOf(of = authority): Promise<string> {
  const ask = { kind: "host", region: "us-east-1", ttlSeconds: 0 };
  return (await desk(of).createJoinToken(CALLER, ask)).joinToken;
}

test("a join token names the authority to trust", async () => {
  expect(parseJoinToken(await tokenOf())).toEqual({
    ...TOKEN,
    caFingerprint: authority.fingerprint,
  });
});

test("a joiner gets a certificate for exactly the id of its token, for a week", async () => {
  const joinToken = await tokenOf();
  const ask = { joinToken, certificateRequest: request, name: "host-1" };
  const admission = await desk().join(ask);
  const certificate = new X509Certificate(admission.certificate);
  expect(admission).toMatchObject({ id: HOST, linkAddress: "control.example.com:9091" });
  expect(peerOf({ subjectaltname: certificate.subjectAltName })).toEqual({
    kind: "host",
    id: HOST,
  });
  expect(certificate.subject).not.toContain("control");
  expect(certificate.verify(new X509Certificate(admission.caCertificate).publicKey)).toBe(true);
  const { issuedAt, expiresAt } = lifeOf(admission.certificate);
  expect((expiresAt.getTime() - issuedAt.getTime()) / 86_400_000).toBeCloseTo(7, 3);
  expect(asked.at(-1)).toMatchObject({ tokenId: TOKEN.id, secret: TOKEN.secret, name: "host-1" });
});

test("every certificate is recorded by its serial, for its subject, before it is given out", async () => {
  const joinToken = await tokenOf();
  const ask = { joinToken, certificateRequest: request, name: "host-1" };
  const joined = await desk().join(ask);
  const renewed = await desk().renew({ kind: "host", id: HOST }, await signingRequest());
  const given = [joined, renewed].map(({ certificate }) => new X509Certificate(certificate));
  expect(recorded.slice(-2)).toMatchObject(
    given.map(({ serialNumber: serial, validToDate: expiresAt }) => {
      return { serial, subject: HOST, expiresAt };
    }),
  );
  expect(given[0]?.serialNumber).not.toBe(given[1]?.serialNumber);
  expect(given[1]?.subjectAltName).toContain(HOST);
});

test("the same key gives the same hash, another key another", async () => {
  const joinToken = await tokenOf();
  for (const certificateRequest of [request, request, await signingRequest()]) {
    await desk().join({ joinToken, certificateRequest, name: "host-1" });
  }
  const [first, second, third] = asked.slice(-3).map((ask) => Buffer.from(ask.publicKeySha256));
  expect(first).toEqual(second);
  expect(first).not.toEqual(third);
});

test("a token of another platform and a forged request are refused before the token is spent", async () => {
  const other = await openCertificateAuthority(join(home, "other"));
  const before = asked.length;
  const ask = { certificateRequest: request, name: "host-1" };
  await expect(desk().join({ ...ask, joinToken: await tokenOf(other) })).rejects.toMatchObject({
    code: "PERMISSION_DENIED",
  });
  const forged = { joinToken: await tokenOf(), certificateRequest: "no PEM", name: "host-1" };
  await expect(desk().join(forged)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  expect(asked.length).toBe(before);
});
