import { X509Certificate } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { connect as connectPlain, createServer } from "node:net";
import { connect as connectTls, TLSSocket } from "node:tls";
import { openCertificateAuthority } from "@aerodb/identity/authority";
import { newId, silent } from "@aerodb/runtime";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { endPointHash, ServerTls } from "./server-tls.ts";
import { throwawayDirectory } from "./throwaway-platform.ts";

let home: string;
let files: { readonly certificateFile: string; readonly keyFile: string };
let source: Parameters<typeof ServerTls.open>[0];

beforeEach(async () => {
  home = await throwawayDirectory();
  files = { certificateFile: `${home}/tls.crt`, keyFile: `${home}/tls.key` };
  source = { home, gatewayId: newId("gtw"), baseDomain: "db.example.com", ...files };
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function issued(validForDays = 30) {
  const authority = await openCertificateAuthority(`${home}/ca`);
  return authority.issue({
    peer: { kind: "gateway", id: newId("gtw") },
    dnsNames: ["*.db.example.com"],
    ipAddresses: [],
    validForDays,
  });
}

async function put({ certificate, privateKey }: Awaited<ReturnType<typeof issued>>): Promise<void> {
  await writeFile(files.certificateFile, certificate);
  await writeFile(files.keyFile, privateKey);
}

/** The serial number of what a new connection is shown. */
async function serialShown(tls: ServerTls): Promise<string> {
  const server = createServer((socket) => {
    const secure = new TLSSocket(socket, { isServer: true, secureContext: tls.shown.context });
    secure.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { readonly port: number };
  const client = connectTls({
    socket: connectPlain(port, "127.0.0.1"),
    rejectUnauthorized: false,
  });
  await new Promise((resolve) => client.once("secureConnect", resolve));
  const { serialNumber } = client.getPeerCertificate();
  client.destroy();
  server.close();
  return serialNumber;
}

function serialOf({ certificate }: { readonly certificate: string }): string {
  return new X509Certificate(certificate).serialNumber;
}

test("a certificate that is replaced is shown to whoever comes then", async () => {
  const [first, second] = [await issued(), await issued()];
  await put(first);
  const tls = await ServerTls.open(source, silent);
  expect(await serialShown(tls)).toBe(serialOf(first));
  expect(tls.caFile).toBe("");
  await put(second);
  expect(await serialShown(tls)).toBe(serialOf(first));
  await tls.readAgain();
  expect(await serialShown(tls)).toBe(serialOf(second));
});

test("one that is replaced is noticed within seconds, without being told", async () => {
  const [first, second] = [await issued(), await issued()];
  await put(first);
  const tls = await ServerTls.open(source, silent);
  const stopping = new AbortController();
  tls.follow(stopping.signal);
  await put(second);
  await expect.poll(() => serialShown(tls), { timeout: 6_000 }).toBe(serialOf(second));
  stopping.abort();
});

test("one that cannot be used is said again after one that could be", async () => {
  const [first, second] = [await issued(), await issued()];
  await put(first);
  const warn = vi.fn();
  const tls = await ServerTls.open(source, { ...silent, warn } as never);
  for (const times of [1, 2]) {
    await writeFile(files.certificateFile, second.certificate);
    for (let look = 0; look < 3; look += 1) await tls.readAgain();
    expect(warn).toHaveBeenCalledTimes(times);
    await put(first);
    await tls.readAgain();
  }
});

test("one that cannot be used is said once, and the one before it stays", async () => {
  const [first, second] = [await issued(), await issued()];
  await put(first);
  const warn = vi.fn();
  const tls = await ServerTls.open(source, { ...silent, info: vi.fn(), warn } as never);
  await writeFile(files.certificateFile, second.certificate);
  await tls.readAgain();
  await tls.readAgain();
  expect(warn).toHaveBeenCalledTimes(1);
  expect(await serialShown(tls)).toBe(serialOf(first));
  await rm(files.keyFile);
  await tls.readAgain();
  expect(warn).toHaveBeenCalledTimes(2);
  await writeFile(files.keyFile, second.privateKey);
  await tls.readAgain();
  expect(await serialShown(tls)).toBe(serialOf(second));
});

test("a gateway does not begin with one that is expired, or not its key's", async () => {
  const [first, second] = [await issued(), await issued()];
  await put({ ...first, privateKey: second.privateKey });
  await expect(ServerTls.open(source, silent)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  await put(first);
  vi.useFakeTimers({ now: Date.now() + 31 * 86_400_000, toFake: ["Date"] });
  try {
    await expect(ServerTls.open(source, silent)).rejects.toThrow(/it has expired/);
  } finally {
    vi.useRealTimers();
  }
});

test.each([
  ["sha256WithRSAEncryption", "sha256"],
  ["sha384WithRSAEncryption", "sha384"],
  ["sha1WithRSAEncryption", "sha256"],
  ["ecdsa-with-SHA256", "sha256"],
  ["ecdsa-with-SHA512", "sha512"],
  ["ecdsa-with-SHA1", "sha256"],
  ["sha512-256WithRSAEncryption", undefined],
  ["rsassaPss", undefined],
  ["ED25519", undefined],
])("a login may be bound to a certificate that is signed by %s: %s", (signature, hash) => {
  expect(endPointHash(signature)).toBe(hash);
});
