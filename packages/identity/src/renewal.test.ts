/** Keys that are replaced while they are in use, and how a process keeps its own good. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "@aerodb/model";
import {
  IdentityService,
  type RenewRequest,
  type RenewResponse,
  RenewResponseSchema,
} from "@aerodb/rpc/aerodb/agent/v1/identity_service_pb.js";
import { armFailpoints, newId, newSecret, silent } from "@aerodb/runtime";
import { callUnary, grpcError, grpcService } from "@aerodb/wire";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Server, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type CertificateAuthority, openCertificateAuthority } from "./authority.ts";
import { BACKDATED_MS, lifeOf } from "./certificate-life.ts";
import { serverCredentials, shownCertificate } from "./credentials.ts";
import { HeldKeys } from "./held-keys.ts";
import { type Identity, loadIdentity, saveIdentity } from "./identity.ts";
import { formatJoinToken } from "./join-token.ts";
import { keepRenewed } from "./renewal.ts";
import { controlClient } from "./renewed-client.ts";
import { signingRequest } from "./signing-request.ts";

const HOUR_IN_DAYS = 1 / 24;
const HOUR_MS = 3_600_000;
const id = newId("hst");

let home: string;
let authority: CertificateAuthority;
let server: Server;
let linkAddress: string;
let stop: AbortController;
/** Serials that were shown, oldest first. */
let shown: string[];
/** How the server answers; throws to refuse. */
let answer: (request: RenewRequest) => Promise<MessageInitShape<typeof RenewResponseSchema>>;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "aerodb-renewal-"));
  authority = await openCertificateAuthority(join(home, "ca"));
  stop = new AbortController();
  shown = [];
  answer = async (request) => ({
    certificate: await authority.certify(request.certificateRequest, askFor(1)),
    caCertificate: authority.trusted,
  });
  server = new Server();
  server.addService(grpcService(IdentityService), {
    renew(call: ServerUnaryCall<RenewRequest, RenewResponse>, done: sendUnaryData<RenewResponse>) {
      shown.push(shownCertificate(call)?.serial ?? "");
      answer(call.request).then(
        (response) => done(null, create(RenewResponseSchema, response)),
        (error: unknown) => done(grpcError(error)),
      );
    },
  });
  linkAddress = await listen();
});

afterEach(() => {
  stop.abort();
  armFailpoints("");
  server.forceShutdown();
  rmSync(home, { recursive: true });
});

/** Serves with a certificate of control's that is issued now. */
async function listen(): Promise<string> {
  const own = await authority.issue({ ...askFor(1), peer: { kind: "control", id: "" } });
  const credentials = serverCredentials({ ...own, caCertificate: authority.certificate });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return `127.0.0.1:${port}`;
}

function askFor(validForDays: number) {
  return { peer: { kind: "host", id }, dnsNames: [], ipAddresses: [], validForDays } as const;
}

async function identityFor(validForDays: number): Promise<Identity> {
  const issued = await authority.issue(askFor(validForDays));
  const { certificate: caCertificate } = authority;
  const identity = { ...issued, kind: "host", id, caCertificate, linkAddress } as const;
  saveIdentity(home, { ...identity, joinTokenId: newId("key").slice(4) });
  return { ...identity, joinTokenId: newId("key").slice(4) };
}

/** One of which two thirds are over, and a quarter is left. */
async function dueIdentity(): Promise<Identity> {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - 0.75 * HOUR_MS });
  try {
    return await identityFor(HOUR_IN_DAYS);
  } finally {
    vi.useRealTimers();
  }
}

function keep(keys: HeldKeys<Identity>, joinToken?: string, logger = silent) {
  const client = controlClient(keys);
  const joining = { directory: home, kind: "host", apiAddress: "127.0.0.1:1", name: "h" } as const;
  const { signal } = stop;
  const loop = keepRenewed({ ...joining, joinToken, keys, client, logger, signal });
  return { loop, client };
}

function serialOf({ certificate }: { readonly certificate: string }): string {
  return new X509Certificate(certificate).serialNumber;
}

async function until(claim: () => boolean): Promise<void> {
  for (let tries = 0; !claim() && tries < 800; tries += 1) await sleep(10);
  expect(claim(), `did not come true: ${claim}`).toBe(true);
}

test("a life is counted from the issue, not from the time before it", async () => {
  const { certificate } = await authority.issue(askFor(3));
  const { issuedAt, renewAt, expiresAt } = lifeOf(certificate);
  expect(Math.abs(issuedAt.getTime() - Date.now())).toBeLessThan(5_000);
  expect(expiresAt.getTime() - issuedAt.getTime()).toBe(3 * 86_400_000);
  expect(renewAt.getTime() - issuedAt.getTime()).toBe(2 * 86_400_000);
  const { validFromDate } = new X509Certificate(certificate);
  expect(issuedAt.getTime() - validFromDate.getTime()).toBe(BACKDATED_MS);
});

test("our signing requests are what a library for them accepts, and a changed one is not", async () => {
  for (const name of ["host", "x".repeat(200)]) {
    const key = createPrivateKey((await authority.issue(askFor(1))).privateKey);
    const request = signingRequest(key, name);
    const certificate = new X509Certificate(await authority.certify(request, askFor(1)));
    expect(certificate.checkPrivateKey(key)).toBe(true);
    const body = Buffer.from(request.split("\n").slice(1, -2).join(""), "base64");
    body.writeUInt8(body.readUInt8(20) ^ 1, 20);
    const [first = "", last = ""] = request.match(/^-----.+-----$/gm) ?? [];
    const forged = `${[first, body.toString("base64"), last].join("\n")}\n`;
    await expect(authority.certify(forged, askFor(1))).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  }
});

test("a certificate that is due is replaced, on disk and in use, with a new key", async () => {
  const first = await dueIdentity();
  const keys = new HeldKeys(first);
  const { client } = keep(keys);
  await until(() => keys.current !== first);
  expect(keys.current).toMatchObject({ id, kind: "host", linkAddress });
  expect(keys.current.privateKey).not.toBe(first.privateKey);
  expect(loadIdentity(home)).toEqual(keys.current);
  expect(statSync(join(home, "identity.json")).mode & 0o777).toBe(0o600);
  expect(existsSync(join(home, "identity.json.new"))).toBe(false);

  // The next call shows the new one, although the connection of before is still open.
  const request = { certificateRequest: "" };
  await callUnary(client, IdentityService.method.renew, request, { deadlineMs: 5_000 }).catch(
    () => undefined,
  );
  expect(shown).toEqual([serialOf(first), serialOf(keys.current)]);
});

test("one that is not due is left alone", async () => {
  const keys = new HeldKeys(await identityFor(1));
  keep(keys);
  await sleep(200);
  expect(shown).toEqual([]);
});

test("the authorities to trust are carried over, so that an authority can be replaced", async () => {
  const next = await openCertificateAuthority(join(home, "next"));
  answer = async (request) => ({
    certificate: await authority.certify(request.certificateRequest, askFor(1)),
    caCertificate: authority.certificate + next.certificate,
  });
  const keys = new HeldKeys(await dueIdentity());
  keep(keys);
  await until(() => keys.current.caCertificate.includes(next.certificate));

  // Control goes over to the next authority, and is believed.
  const own = await next.issue({ ...askFor(1), peer: { kind: "control", id: "" } });
  const caCertificate = authority.certificate + next.certificate;
  const replaced = new Server();
  replaced.addService(grpcService(IdentityService), {
    renew: (_: unknown, done: sendUnaryData<RenewResponse>) =>
      done(null, create(RenewResponseSchema, { certificate: "from the next" })),
  });
  const port = await new Promise<number>((resolve) => {
    const credentials = serverCredentials({ ...own, caCertificate });
    replaced.bindAsync("127.0.0.1:0", credentials, (_, bound) => resolve(bound));
  });
  const client = controlClient(new HeldKeys({ ...keys.current, linkAddress: `127.0.0.1:${port}` }));
  const { renew } = IdentityService.method;
  const said = await callUnary(client, renew, {}, { deadlineMs: 5_000 });
  expect(said.certificate).toBe("from the next");
  client.close();
  replaced.forceShutdown();
});

test("an authority's file of others to trust must hold certificates", async () => {
  const next = await openCertificateAuthority(join(home, "next"));
  writeFileSync(join(home, "ca", "also-trusted.pem"), next.certificate);
  const again = await openCertificateAuthority(join(home, "ca"));
  expect(again.trusted).toBe(authority.certificate + next.certificate);
  writeFileSync(join(home, "ca", "also-trusted.pem"), next.certificate.replace("MII", "!!!"));
  await expect(openCertificateAuthority(join(home, "ca"))).rejects.toThrow(
    "must hold certificates",
  );
});

test("an answer for another host, or another key, is not taken", async () => {
  const first = await dueIdentity();
  const wrong = [
    async (request: RenewRequest) =>
      authority.certify(request.certificateRequest, {
        ...askFor(1),
        peer: { kind: "host", id: newId("hst") },
      }),
    async () => (await authority.issue(askFor(1))).certificate,
  ];
  answer = async (request) => {
    const certify = wrong[shown.length % 2] ?? expect.fail("no such answer");
    return { certificate: await certify(request), caCertificate: authority.trusted };
  };
  const keys = new HeldKeys(first);
  keep(keys);
  await until(() => shown.length >= 2);
  expect(keys.current).toBe(first);
  expect(loadIdentity(home)?.certificate).toBe(first.certificate);
});

test("who is refused says what to do, and a token that was used already is not tried again", async () => {
  answer = async () => {
    throw new Fault("PERMISSION_DENIED", "The host h was revoked.");
  };
  const first = await dueIdentity();
  const said: string[] = [];
  const logger = { ...silent, warn: (_: object, text: string) => said.push(text) } as never;
  const token = { id: first.joinTokenId ?? "", secret: newSecret(), caFingerprint: "0".repeat(64) };
  keep(new HeldKeys(first), formatJoinToken(token), logger);
  await until(() => said.length > 0);
  expect(said[0]).toBe(
    "The host h was revoked. Make a token with " +
      `\`aerodb hosts token create --host ${id}\` and start this host with it (--join-token).`,
  );
});

async function firstWarning(expired: Awaited<ReturnType<typeof identityFor>>): Promise<string> {
  const said: string[] = [];
  const logger = { ...silent, warn: (_: object, text: string) => said.push(text) } as never;
  keep(new HeldKeys(expired), undefined, logger);
  await until(() => said.length > 0);
  return said[0] ?? "";
}

test("what expired while the process was off is said with its remedy", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - 3 * 86_400_000 });
  const expired = await identityFor(1);
  vi.useRealTimers();
  const said = await firstWarning(expired);
  expect(said).toContain(`The certificate of host ${id} expired on`);
  expect(said).toContain(`aerodb hosts token create --host ${id}`);
  expect(shown).toEqual([]);
});

test.each([
  ["ahead", -3],
  ["behind", 3],
])("a clock that is %s is named, and no token asked for", async (_, days) => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + days * 86_400_000 });
  linkAddress = await listen();
  vi.useRealTimers();
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - 3 * 86_400_000 });
  const expired = await identityFor(1);
  vi.useRealTimers();
  const said = await firstWarning(expired);
  expect(said).toContain("set the clock of this machine");
  expect(said).not.toContain("aerodb hosts token create");
});

test("a fall between the answer and the disk leaves the old one, and the next pass goes on", async () => {
  armFailpoints("identity.renew.answered=throw");
  const first = await dueIdentity();
  const keys = new HeldKeys(first);
  keep(keys);
  await until(() => keys.current !== first);
  expect(shown).toEqual([serialOf(first), serialOf(first)]);
});
