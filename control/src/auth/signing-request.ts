import "reflect-metadata";
import { createHash } from "node:crypto";
import { Fault } from "@aerodb/model";
import { Pkcs10CertificateRequest } from "@peculiar/x509";

/**
 * SHA-256 of the public key (SPKI, DER) in a certificate signing request whose sender proved to
 * hold the private one. Throws INVALID_ARGUMENT.
 */
export async function provenPublicKey(pem: string): Promise<Uint8Array> {
  try {
    const request = new Pkcs10CertificateRequest(pem);
    if (await request.verify()) {
      return createHash("sha256").update(Buffer.from(request.publicKey.rawData)).digest();
    }
  } catch {
    // Falls through: what cannot be read is refused like what does not verify.
  }
  throw new Fault("INVALID_ARGUMENT", "The certificate signing request is malformed or forged.");
}
