/** The one kind of key pair that is used inside: ECDSA on P-256. */
import { createPrivateKey } from "node:crypto";

export const KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-256" } as const;
export const SIGNATURE_ALGORITHM = { name: "ECDSA", hash: "SHA-256" } as const;

export function generateKeyPair(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(KEY_ALGORITHM, true, ["sign", "verify"]);
}

/** A private key as PKCS #8 PEM, encrypted when a passphrase is given. */
export async function privateKeyPem(key: CryptoKey, passphrase?: string): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", key));
  const encryption = passphrase === undefined ? {} : { cipher: "aes-256-cbc", passphrase };
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" })
    .export({ type: "pkcs8", format: "pem", ...encryption })
    .toString();
}
