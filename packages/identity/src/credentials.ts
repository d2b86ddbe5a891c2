/** TLS of the links inside: both sides show a certificate of the platform's authority. */
import { type ChannelCredentials, experimental, type ServerCredentials } from "@grpc/grpc-js";
import { issueOf } from "./certificate-life.ts";
import { HeldKeys, type KeyMaterial, type Keys } from "./held-keys.ts";
import { type Peer, peerOf } from "./spiffe.ts";
import { checkPeer } from "./spiffe-check.ts";

/** For a channel to control, or to the agent of one host. */
export function channelCredentials(
  own: KeyMaterial | Keys,
  server: { readonly kind: Peer["kind"]; readonly id?: string },
): ChannelCredentials {
  const held = hold(own);
  return experimental.createCertificateProviderChannelCredentials(held, held, {
    checkServerIdentity: checkPeer(server),
  });
}

/** For a server that only holders of a certificate may reach. */
export function serverCredentials(own: KeyMaterial | Keys): ServerCredentials {
  const held = hold(own);
  return experimental.createCertificateProviderServerCredentials(held, held, true);
}

function hold(own: KeyMaterial | Keys): Keys {
  return "current" in own ? own : new HeldKeys(own);
}

/** What a call to such a server knows of the other end: its certificate, which TLS has verified. */
export interface AuthenticatedCall {
  getAuthContext(): {
    readonly sslPeerCertificate?: {
      readonly subjectaltname?: string | undefined;
      readonly serialNumber?: string;
      readonly valid_from?: string;
    };
  };
}

/** Who is at the other end of a call. */
export function peerOfCall(call: AuthenticatedCall): Peer | undefined {
  return peerOf(call.getAuthContext().sslPeerCertificate);
}

/** A certificate that was shown, and whom it names. */
export interface ShownCertificate extends Peer {
  /** Hexadecimal, in capitals. */
  readonly serial: string;
  readonly issuedAt: Date;
}

/** The certificate that was shown at the other end of a call; undefined when it names nobody. */
export function shownCertificate(call: AuthenticatedCall): ShownCertificate | undefined {
  const certificate = call.getAuthContext().sslPeerCertificate;
  const peer = peerOf(certificate);
  if (peer === undefined) return undefined;
  const { serialNumber: serial, valid_from: validFrom } = certificate ?? {};
  if (serial === undefined || validFrom === undefined) return undefined;
  return { ...peer, serial, issuedAt: issueOf(new Date(validFrom)) };
}

/** What node:tls and node:http2 need to call control's API. Always the newest, also when kept. */
export function clientTlsOptions(own: KeyMaterial | Keys) {
  const held = hold(own);
  return {
    get ca() {
      return held.current.caCertificate;
    },
    get cert() {
      return held.current.certificate;
    },
    get key() {
      return held.current.privateKey;
    },
    checkServerIdentity: checkPeer({ kind: "control" }),
  } as const;
}
