/** When a certificate of the platform was issued, ends, and is to be replaced. */
import { X509Certificate } from "node:crypto";

/** Certificates start a little in the past, so that a clock that is behind accepts them. */
export const BACKDATED_MS = 3_600_000;
/** A third of a life is left for renewing: control may be away for long. */
const RENEWED_AFTER = 2 / 3;

export interface CertificateLife {
  readonly issuedAt: Date;
  readonly renewAt: Date;
  readonly expiresAt: Date;
}

/** Reads the life of a certificate, PEM. */
export function lifeOf(certificate: string): CertificateLife {
  const { validFromDate, validToDate } = new X509Certificate(certificate);
  const issuedAt = issueOf(validFromDate);
  const lifeMs = validToDate.getTime() - issuedAt.getTime();
  return {
    issuedAt,
    renewAt: new Date(issuedAt.getTime() + lifeMs * RENEWED_AFTER),
    expiresAt: validToDate,
  };
}

/** When a certificate that is valid from a time was issued. */
export function issueOf(validFrom: Date): Date {
  return new Date(validFrom.getTime() + BACKDATED_MS);
}
