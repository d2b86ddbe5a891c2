/** What a process makes sure of before it relies on a certificate that it was given. */
import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { Fault } from "@aerodb/model";
import { type Peer, peerOf } from "./spiffe.ts";

export function newPrivateKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

/** Throws PERMISSION_DENIED unless the certificate is for this key and names exactly this peer. */
export function requireCertificate(certificate: string, named: Peer, key: KeyObject): void {
  const given = new X509Certificate(certificate);
  const peer = peerOf({ subjectaltname: given.subjectAltName });
  if (peer?.kind === named.kind && peer.id === named.id && given.checkPrivateKey(key)) return;
  const found = peer === undefined ? "nobody we know" : `${peer.kind} ${peer.id}`.trim();
  throw new Fault(
    "PERMISSION_DENIED",
    `Control answered with a certificate for ${found}, and it was to be for ${named.kind} ` +
      `${named.id} and its new key. Check that the join token is for a ${named.kind}.`,
  );
}
