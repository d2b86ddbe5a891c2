/**
 * The certificate that the Postgres port shows to new connections. Its files are read again when
 * they change, so that it is renewed without a restart; what cannot be used is said, and the one
 * before it stays.
 */
import { createHash, X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { Fault, messageOf } from "@aerodb/model";
import { every, type Logger, now } from "@aerodb/runtime";
import {
  type CertificateSource,
  type ServerCertificate,
  serverCertificate,
} from "./certificate.ts";

/** What a connection is secured with. */
export interface ShownCertificate {
  readonly context: SecureContext;
  /** Hash of the certificate, to which clients may bind their login; undefined: it has none. */
  readonly endPoint: Buffer | undefined;
  readonly endsAt: Date;
}

/** How soon one that was renewed is shown. Two small files are read for it. */
const LOOK_MS = 3_000;

interface Shown extends ShownCertificate {
  readonly text: string;
  readonly caFile: string;
}

export class ServerTls {
  readonly #source: CertificateSource;
  readonly #logger: Logger;
  #shown: Shown;
  /** Of the last that could not be used: said once. */
  #refused = "";

  /** Throws INVALID_ARGUMENT for a certificate that cannot be used. */
  static async open(source: CertificateSource, logger: Logger): Promise<ServerTls> {
    return new ServerTls(source, logger, shown(await serverCertificate(source)));
  }

  private constructor(source: CertificateSource, logger: Logger, first: Shown) {
    this.#source = source;
    this.#logger = logger;
    this.#shown = first;
  }

  /** For a connection that comes now. */
  get shown(): ShownCertificate {
    return this.#shown;
  }

  /** File of the authority of a development certificate; else empty. */
  get caFile(): string {
    return this.#shown.caFile;
  }

  /** Takes over what comes into the files, until the signal is aborted. */
  follow(signal: AbortSignal): void {
    every(LOOK_MS, () => this.readAgain(), signal);
  }

  /** Takes over what is in the files by now. Never rejects. */
  async readAgain(): Promise<void> {
    try {
      const found = await serverCertificate(this.#source);
      const isShown = textOf(found) === this.#shown.text;
      const next = isShown ? this.#shown : shown(found);
      this.#refused = "";
      if (isShown) return;
      this.#shown = next;
      const { validTo, subjectAltName } = new X509Certificate(found.certificate);
      this.#logger.info({ validTo, subjectAltName }, "shows another certificate");
    } catch (error) {
      const because = messageOf(error);
      if (because === this.#refused) return;
      this.#refused = because;
      this.#logger.warn({ because }, "keeps the certificate that it has");
    }
  }
}

function shown(found: ServerCertificate): Shown {
  const { certificate, privateKey, caFile } = found;
  try {
    const context = createSecureContext({
      cert: certificate,
      key: privateKey,
      minVersion: "TLSv1.2",
    });
    const parsed = new X509Certificate(certificate);
    if (parsed.validToDate.getTime() < now().getTime()) throw new Error("it has expired");
    const { validToDate: endsAt } = parsed;
    return { text: textOf(found), context, caFile, endPoint: endPointOf(parsed), endsAt };
  } catch (error) {
    // Certificate and key are replaced one after the other.
    const sentence = `The TLS certificate and its key cannot be used: ${messageOf(error)}.`;
    throw new Fault("INVALID_ARGUMENT", `${sentence} Give both anew.`, { cause: error });
  }
}

/** `tls-server-end-point` of RFC 5929. */
function endPointOf({ raw, signatureAlgorithm = "" }: X509Certificate): Buffer | undefined {
  const algorithm = endPointHash(signatureAlgorithm);
  return algorithm === undefined ? undefined : createHash(algorithm).update(raw).digest();
}

/**
 * What a certificate is hashed by for that: the hash of its signature, and SHA-256 in the place of
 * SHA-1. Where the signature names none, clients bind nothing either. Names are those of OpenSSL,
 * such as `sha256WithRSAEncryption` and `ecdsa-with-SHA384`.
 */
export function endPointHash(signatureAlgorithm: string): string | undefined {
  const [, bits] = /sha-?(1|224|256|384|512)(?![\d-])/i.exec(signatureAlgorithm) ?? [];
  if (bits === undefined) return undefined;
  return bits === "1" ? "sha256" : `sha${bits}`;
}

function textOf({ certificate, privateKey }: ServerCertificate): string {
  return `${certificate}\n${privateKey}`;
}
