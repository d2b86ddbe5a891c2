/**
 * Makes certificate signing requests (PKCS #10) for keys on P-256. Written out, because a library
 * for X.509 costs every agent and gateway more memory than all else they keep.
 */
import { createPublicKey, type KeyObject, sign } from "node:crypto";

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OBJECT_ID = 0x06;
const UTF8_STRING = 0x0c;
const ATTRIBUTES = 0xa0;
/** 2.5.4.3 */
const COMMON_NAME = Buffer.from("550403", "hex");
/** 1.2.840.10045.4.3.2 */
const ECDSA_WITH_SHA256 = Buffer.from("2a8648ce3d040302", "hex");

/** A request for a private key, PEM. Who issues a certificate ignores the name. */
export function signingRequest(privateKey: KeyObject, commonName: string): string {
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const name = der(UTF8_STRING, Buffer.from(commonName));
  const attribute = der(SEQUENCE, der(OBJECT_ID, COMMON_NAME), name);
  const subject = der(SEQUENCE, der(SET, attribute));
  const version = der(INTEGER, Buffer.of(0));
  const info = der(SEQUENCE, version, subject, publicKey, der(ATTRIBUTES));
  const signature = Buffer.concat([Buffer.of(0), sign("sha256", info, privateKey)]);
  const algorithm = der(SEQUENCE, der(OBJECT_ID, ECDSA_WITH_SHA256));
  return pem(der(SEQUENCE, info, algorithm, der(BIT_STRING, signature)));
}

/** One value of DER: tag, length and contents. */
function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.of(tag), lengthOf(content.length), content]);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.of(length);
  return length < 0x100 ? Buffer.of(0x81, length) : Buffer.of(0x82, length >> 8, length & 0xff);
}

function pem(request: Buffer): string {
  const lines = request.toString("base64").match(/.{1,64}/g) ?? [];
  const label = "CERTIFICATE REQUEST";
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}
