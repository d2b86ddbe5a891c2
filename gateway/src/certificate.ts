/**
 * The certificate the Postgres listener shows. Without one of the operator's, a development
 * authority and a certificate are made under the home at first start; renewed when half of its time
 * is over.
 */
import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "@aerodb/model";
import { now, replaceFileSync } from "@aerodb/runtime";

export interface ServerCertificate {
  /** PEM, with what clients need to build the chain. */
  readonly certificate: string;
  readonly privateKey: string;
  /**
   * File of the authority that clients may trust; empty when the operator brought the certificate.
   */
  readonly caFile: string;
}

const VALID_DAYS = 365;
const RENEW_AT_DAYS = 180;
const DAY_MS = 86_400_000;

export interface CertificateSource {
  readonly home: string;
  readonly gatewayId: string;
  readonly baseDomain: string;
  readonly certificateFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

/** Reads the operator's certificate, or the development one, which is made if need be. */
export async function serverCertificate(from: CertificateSource): Promise<ServerCertificate> {
  const { certificateFile, keyFile } = from;
  if (certificateFile !== undefined && keyFile !== undefined) {
    return { certificate: read(certificateFile), privateKey: read(keyFile), caFile: "" };
  }
  if (certificateFile !== undefined || keyFile !== undefined) {
    throw new Fault("INVALID_ARGUMENT", "A TLS certificate and its key are given both or neither.");
  }
  return developmentCertificate(from);
}

async function developmentCertificate(from: {
  readonly home: string;
  readonly gatewayId: string;
  readonly baseDomain: string;
}): Promise<ServerCertificate> {
  const directory = join(from.home, "development-ca");
  const caFile = join(directory, "ca.crt");
  const path = join(directory, "server.pem");
  const names = [...new Set(["localhost", from.baseDomain, `*.${from.baseDomain}`])];
  if (!isGoodFor(path, names)) {
    // Once in half a year: X.509 stays out of the memory of those who do not need it.
    const { openCertificateAuthority } = await import("@aerodb/identity/authority");
    const authority = await openCertificateAuthority(directory);
    const issued = await authority.issue({
      peer: { kind: "gateway", id: from.gatewayId },
      dnsNames: names,
      ipAddresses: ["127.0.0.1", "::1"],
      validForDays: VALID_DAYS,
    });
    const pem = issued.certificate + authority.certificate + issued.privateKey;
    replaceFileSync(path, pem);
  }
  const pem = readFileSync(path, "utf8");
  return { certificate: pem, privateKey: pem, caFile };
}

function isGoodFor(path: string, names: readonly string[]): boolean {
  if (!existsSync(path)) return false;
  const certificate = new X509Certificate(readFileSync(path));
  const left = certificate.validToDate.getTime() - now().getTime();
  const covered = certificate.subjectAltName?.split(", ") ?? [];
  return left > RENEW_AT_DAYS * DAY_MS && names.every((name) => covered.includes(`DNS:${name}`));
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Fault("INVALID_ARGUMENT", `The file ${file} cannot be read.`, { cause: error });
  }
}
