/** Where join tokens are given out and traded for certificates, and certificates are renewed. */
import { X509Certificate } from "node:crypto";
import { formatJoinToken, parseJoinToken } from "@aerodb/identity";
import type { CertificateAuthority } from "@aerodb/identity/authority";
import { Fault } from "@aerodb/model";
import { failpoint } from "@aerodb/runtime";
import type { Caller } from "../app/control.ts";
import type { Joined, JoinRequest, JoinTokenMade, NewJoinToken } from "../app/joining.ts";
import { provenPublicKey } from "./signing-request.ts";

/** What the application knows about joining. */
export interface JoinBook {
  createJoinToken(caller: Caller, ask: NewJoinToken): Promise<JoinTokenMade>;
  join(request: JoinRequest): Promise<Joined>;
  /** Keeps that a certificate is issued. Must resolve before it is given out. */
  recordCertificate(certificate: {
    readonly serial: string;
    readonly subject: string;
    readonly publicKeySha256: Uint8Array;
    readonly expiresAt: Date;
  }): Promise<void>;
}

export interface JoinAsk {
  readonly joinToken: string;
  readonly certificateRequest: string;
  readonly name: string;
  /** What joins, and the id it has already; empty when it does not say, or has none. */
  readonly kind?: string;
  readonly id?: string;
}

export interface Renewed {
  readonly certificate: string;
  /** Every authority to trust from now on. */
  readonly caCertificate: string;
}

export interface Admission extends Renewed {
  readonly id: string;
  readonly linkAddress: string;
}

export interface JoiningDesk {
  createJoinToken(
    caller: Caller,
    ask: NewJoinToken,
  ): Promise<{
    readonly joinToken: string;
    readonly tokenId: string;
    readonly expiresAt: Date;
    /** Where who joins reaches the API. */
    readonly apiAddress: string;
  }>;
  /** Answers a repeat with the same token and key with the same id. */
  join(ask: JoinAsk): Promise<Admission>;
  /** A new certificate for who is known to be this host or gateway. */
  renew(
    peer: { readonly kind: "host" | "gateway"; readonly id: string },
    certificateRequest: string,
  ): Promise<Renewed>;
}

export function openJoiningDesk(
  book: JoinBook,
  authority: CertificateAuthority,
  settings: {
    /** Read whenever they are told. */
    readonly addresses: { readonly linkAddress: string; readonly apiAddress: string };
    /** How long the certificates of hosts and gateways are good for. */
    readonly certificateDays: number;
  },
): JoiningDesk {
  const { addresses, certificateDays: validForDays } = settings;

  async function issue(
    peer: { readonly kind: "host" | "gateway"; readonly id: string },
    request: { readonly pem: string; readonly publicKeySha256: Uint8Array },
  ): Promise<Renewed> {
    const ask = { peer, dnsNames: [], ipAddresses: [], validForDays };
    const certificate = await authority.certify(request.pem, ask);
    const { serialNumber: serial, validToDate: expiresAt } = new X509Certificate(certificate);
    const { publicKeySha256 } = request;
    await failpoint("control.certificate.before_record");
    await book.recordCertificate({ serial, subject: peer.id, publicKeySha256, expiresAt });
    await failpoint("control.certificate.recorded");
    return { certificate, caCertificate: authority.trusted };
  }

  return {
    async createJoinToken(caller, ask) {
      const { id: tokenId, secret, expiresAt } = await book.createJoinToken(caller, ask);
      const caFingerprint = authority.fingerprint;
      const joinToken = formatJoinToken({ id: tokenId, secret, caFingerprint });
      return { joinToken, tokenId, expiresAt, apiAddress: addresses.apiAddress };
    },

    async join(ask) {
      const token = parseJoinToken(ask.joinToken);
      if (token.caFingerprint !== authority.fingerprint) {
        throw new Fault("PERMISSION_DENIED", "The join token is of another platform.");
      }
      const publicKeySha256 = await provenPublicKey(ask.certificateRequest);
      const joined = await book.join({
        tokenId: token.id,
        secret: token.secret,
        publicKeySha256,
        name: ask.name,
        kind: ask.kind ?? "",
        heldId: ask.id ?? "",
      });
      const issued = await issue(joined, { pem: ask.certificateRequest, publicKeySha256 });
      return { ...issued, id: joined.id, linkAddress: addresses.linkAddress };
    },

    async renew(peer, certificateRequest) {
      const publicKeySha256 = await provenPublicKey(certificateRequest);
      return issue(peer, { pem: certificateRequest, publicKeySha256 });
    },
  };
}
