/**
 * The platform's certificate authority. Held by control; everything inside trusts it and nothing
 * else.
 */
import "reflect-metadata";
import {
  createHash,
  createPrivateKey,
  type KeyObject,
  randomBytes,
  sign as signBytes,
  X509Certificate,
} from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Fault, messageOf } from "@aerodb/model";
import { now, replaceFileSync } from "@aerodb/runtime";
import * as x509 from "@peculiar/x509";
import { BACKDATED_MS } from "./certificate-life.ts";
import { generateKeyPair, KEY_ALGORITHM, privateKeyPem, SIGNATURE_ALGORITHM } from "./keys.ts";
import { type Peer, spiffeUri } from "./spiffe.ts";

x509.cryptoProvider.set(crypto);

const DAY_MS = 86_400_000;
const AUTHORITY_VALID_DAYS = 3_650;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----/gs;

/** What a certificate is for. */
export interface CertificateAsk {
  readonly peer: Peer;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  /** Parts of a day too. */
  readonly validForDays: number;
}

export interface CertificateAuthority {
  /** PEM. */
  readonly certificate: string;
  /**
   * PEM: this authority, and those of `also-trusted.pem` beside it. An authority is replaced in
   * steps: the next one is trusted first, then it signs and the old one is trusted, then only it.
   */
  readonly trusted: string;
  readonly expiresAt: Date;
  /** SHA-256 of the certificate's DER, as hex: what a join token pins. */
  readonly fingerprint: string;
  /** Certifies the key of a signing request; its subject and extensions are ignored. */
  certify(request: string, ask: CertificateAsk): Promise<string>;
  /** ECDSA with SHA-256 over a text that is no certificate: DER, in Base64. */
  sign(text: string): string;
  /** Makes a key pair and certifies it. */
  issue(
    ask: CertificateAsk,
  ): Promise<{ readonly certificate: string; readonly privateKey: string }>;
}

/**
 * Opens the authority in a directory, or makes it there. The passphrase encrypts the key at rest.
 */
export async function openCertificateAuthority(
  directory: string,
  passphrase?: string,
): Promise<CertificateAuthority> {
  const keyPath = join(directory, "ca.key");
  const certificatePath = join(directory, "ca.crt");
  if (!existsSync(keyPath)) await makeAuthority(keyPath, certificatePath, passphrase);
  const key = readKey(keyPath, passphrase);
  const signingKey = await importKey(key);
  const certificate = new x509.X509Certificate(readFileSync(certificatePath, "utf8"));

  async function signLeaf(publicKey: x509.PublicKeyType, ask: CertificateAsk): Promise<string> {
    const start = now().getTime();
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: randomBytes(16).toString("hex"),
      subject: `CN=${ask.peer.kind}`,
      issuer: certificate.subject,
      notBefore: new Date(start - BACKDATED_MS),
      notAfter: new Date(start + ask.validForDays * DAY_MS),
      signingAlgorithm: SIGNATURE_ALGORITHM,
      signingKey,
      publicKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.clientAuth,
          x509.ExtendedKeyUsage.serverAuth,
        ]),
        new x509.SubjectAlternativeNameExtension([
          { type: "url", value: spiffeUri(ask.peer) },
          ...ask.dnsNames.map((value) => ({ type: "dns", value }) as const),
          ...ask.ipAddresses.map((value) => ({ type: "ip", value }) as const),
        ]),
        await x509.AuthorityKeyIdentifierExtension.create(certificate),
      ],
    });
    return `${leaf.toString("pem")}\n`;
  }

  const own = `${certificate.toString("pem")}\n`;
  return {
    certificate: own,
    trusted: own + readAlsoTrusted(join(directory, "also-trusted.pem")),
    expiresAt: certificate.notAfter,
    fingerprint: createHash("sha256").update(Buffer.from(certificate.rawData)).digest("hex"),
    async certify(request, ask) {
      return signLeaf(await readRequest(request), ask);
    },
    sign: (text) => signBytes("sha256", Buffer.from(text), key).toString("base64"),
    async issue(ask) {
      const keys = await generateKeyPair();
      return {
        certificate: await signLeaf(keys.publicKey, ask),
        privateKey: await privateKeyPem(keys.privateKey),
      };
    },
  };
}

/**
 * The public key of a signing request that proves it holds the private one. Throws
 * INVALID_ARGUMENT.
 */
async function readRequest(pem: string): Promise<x509.PublicKey> {
  try {
    const request = new x509.Pkcs10CertificateRequest(pem);
    if (await request.verify()) return request.publicKey;
  } catch {
    // Falls through: what cannot be read is refused like what does not verify.
  }
  throw new Fault("INVALID_ARGUMENT", "The certificate signing request is malformed or forged.");
}

async function makeAuthority(
  keyPath: string,
  certificatePath: string,
  passphrase: string | undefined,
): Promise<void> {
  const keys = await generateKeyPair();
  const start = now().getTime();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomBytes(16).toString("hex"),
    name: "CN=AeroDB platform CA",
    notBefore: new Date(start - BACKDATED_MS),
    notAfter: new Date(start + AUTHORITY_VALID_DAYS * DAY_MS),
    signingAlgorithm: SIGNATURE_ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  // The key comes last: an authority is there when its key is, so a crash before makes a new one.
  mkdirSync(join(keyPath, ".."), { recursive: true });
  replaceFileSync(certificatePath, `${certificate.toString("pem")}\n`, { mode: 0o644 });
  const privateKey = await privateKeyPem(keys.privateKey, passphrase);
  replaceFileSync(keyPath, privateKey);
}

/** Each certificate is read, so that a broken file is found here and not by those who trust it. */
function readAlsoTrusted(path: string): string {
  if (!existsSync(path)) return "";
  try {
    const certificates = readFileSync(path, "utf8").match(CERTIFICATE) ?? [];
    if (certificates.length === 0) throw new Error("it holds none");
    return certificates.map((pem) => new X509Certificate(pem).toString()).join("");
  } catch (error) {
    const sentence = `The file ${path} must hold certificates (PEM): ${messageOf(error)}.`;
    throw new Fault("INVALID_ARGUMENT", sentence, { cause: error });
  }
}

function readKey(path: string, passphrase: string | undefined): KeyObject {
  const pem = readFileSync(path, "utf8");
  return createPrivateKey(passphrase === undefined ? { key: pem } : { key: pem, passphrase });
}

function importKey(key: KeyObject): Promise<CryptoKey> {
  const der = key.export({ type: "pkcs8", format: "der" });
  return crypto.subtle.importKey("pkcs8", der, KEY_ALGORITHM, false, ["sign"]);
}
