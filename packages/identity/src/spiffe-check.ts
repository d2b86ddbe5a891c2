import type { PeerCertificate } from "node:tls";
import { type Peer, peerOf } from "./spiffe.ts";

/**
 * Checks a server by who it is, not by what it is called: inside, addresses change and names lie.
 * For `checkServerIdentity` of node:tls, which calls it after the chain has been verified.
 */
export function checkPeer(expected: {
  readonly kind: Peer["kind"];
  readonly id?: string;
}): (hostname: string, certificate: PeerCertificate) => Error | undefined {
  return (hostname, certificate) => {
    const peer = peerOf(certificate);
    const fits =
      peer?.kind === expected.kind && (expected.id === undefined || peer.id === expected.id);
    if (fits) return undefined;
    const wanted = [expected.kind, expected.id].filter((part) => part !== undefined).join(" ");
    const found = peer === undefined ? "nobody we know" : `${peer.kind} ${peer.id}`.trim();
    return new Error(`${hostname} was to be ${wanted} and its certificate names ${found}`);
  };
}
