/**
 * The server's side of SCRAM (RFC 5802, RFC 7677, RFC 5929), as Postgres plays it. Who proves that
 * it has the password shows the key that the password makes, and with that key one logs in again.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { SCRAM_ITERATIONS, type ScramVerifier } from "./scram.ts";

export const SCRAM_MECHANISM = "SCRAM-SHA-256";
export const SCRAM_PLUS_MECHANISM = "SCRAM-SHA-256-PLUS";
const SALT_BYTES = 16;
const NONCE_BYTES = 18;
const KEY_BYTES = 32;
const NONCE = "[\\x21-\\x2b\\x2d-\\x7e]+";
/** The header of GS2, then `n=…,r=<nonce>` and extensions. */
const CLIENT_FIRST = new RegExp(
  `^((?:[ny]|p=([a-z-]+)),(?:a=[^,]*)?,)(n=[^,]*,r=(${NONCE})(?:,[a-zA-Z]=[^,]*)*)$`,
);
const CLIENT_FINAL = new RegExp(
  `^(c=([A-Za-z0-9+/=]+),r=(${NONCE})(?:,[a-zA-Z]=[^,]*)*),p=([A-Za-z0-9+/]{43}=)$`,
);
const END_POINT = "tls-server-end-point";

/** What a client has proven that it has. */
export interface ScramKeys {
  /** With this, and without the password, one logs in where the verifier is the same. */
  readonly clientKey: Buffer;
  readonly verifier: ScramVerifier;
}

/** Under what a client logs in. */
export interface ScramTerms {
  /** All with the salt and the iterations of the first. */
  readonly verifiers: readonly [ScramVerifier, ...ScramVerifier[]];
  /** Hash of the certificate that the connection shows; undefined in the clear. */
  readonly endPoint: Buffer | undefined;
}

export interface ScramSuccess extends ScramKeys {
  /** What the client is told: that whoever it speaks to knows the verifier. */
  readonly serverFinal: Buffer;
}

/** One exchange, from the client's first message to its last. */
export class ScramExchange {
  readonly serverFirst: Buffer;
  readonly #terms: ScramTerms;
  readonly #clientFirstBare: string;
  readonly #nonce: string;
  /** What the client must say of the channel in its last message. */
  readonly #channel: Buffer;

  /** Answers a client's first message; undefined when it is malformed or cannot be agreed to. */
  static start(
    terms: ScramTerms,
    { mechanism, data }: { readonly mechanism: string; readonly data: Uint8Array },
  ): ScramExchange | undefined {
    const [, header, binding, bare, nonce] = CLIENT_FIRST.exec(textOf(data)) ?? [];
    if (header === undefined || bare === undefined || nonce === undefined) return undefined;
    const plus = mechanism === SCRAM_PLUS_MECHANISM;
    if (!plus && mechanism !== SCRAM_MECHANISM) return undefined;
    if (plus !== (binding !== undefined)) return undefined;
    if (plus && (binding !== END_POINT || terms.endPoint === undefined)) return undefined;
    // "You do not offer it", where we do: somebody in between took our offer away.
    if (header.startsWith("y") && terms.endPoint !== undefined) return undefined;
    const bound = plus ? (terms.endPoint ?? Buffer.alloc(0)) : Buffer.alloc(0);
    const channel = Buffer.concat([Buffer.from(header), bound]);
    return new ScramExchange(terms, { bare, nonce, channel });
  }

  private constructor(
    terms: ScramTerms,
    client: { readonly bare: string; readonly nonce: string; readonly channel: Buffer },
  ) {
    const [{ salt, iterations }] = terms.verifiers;
    this.#terms = terms;
    this.#clientFirstBare = client.bare;
    this.#channel = client.channel;
    this.#nonce = client.nonce + randomBytes(NONCE_BYTES).toString("base64");
    this.serverFirst = Buffer.from(`r=${this.#nonce},s=${salt.toString("base64")},i=${iterations}`);
  }

  /** Judges a client's last message: undefined when it proves nothing. */
  finish(clientFinal: Uint8Array): ScramSuccess | undefined {
    const [, unproven, channel, nonce, proof] = CLIENT_FINAL.exec(textOf(clientFinal)) ?? [];
    if (unproven === undefined || channel === undefined || proof === undefined) return undefined;
    if (nonce !== this.#nonce) return undefined;
    if (!Buffer.from(channel, "base64").equals(this.#channel)) return undefined;
    const said = `${this.#clientFirstBare},${textOf(this.serverFirst)},${unproven}`;
    const proven = Buffer.from(proof, "base64");
    let success: ScramSuccess | undefined;
    for (const verifier of this.#terms.verifiers) {
      const clientKey = mixed(proven, hmac(verifier.storedKey, said));
      if (!timingSafeEqual(storedKeyOf(clientKey), verifier.storedKey)) continue;
      const signature = hmac(verifier.serverKey, said).toString("base64");
      success = { clientKey, verifier, serverFinal: Buffer.from(`v=${signature}`) };
    }
    return success;
  }
}

/**
 * What somebody who does not exist is measured by: a salt that stays the same from one try to the
 * next, and keys that nobody has. `secret`: of the platform's, the same in all gateways.
 */
export function mockVerifier(secret: Uint8Array, name: string): ScramVerifier {
  const mac = createHmac("sha256", secret).update("mock salt\0").update(name).digest();
  return {
    iterations: SCRAM_ITERATIONS,
    salt: mac.subarray(0, SALT_BYTES),
    storedKey: randomBytes(KEY_BYTES),
    serverKey: randomBytes(KEY_BYTES),
  };
}

/** The client's side, of one who has no password but the key that it makes. */
export class ScramLogin {
  readonly #keys: ScramKeys;
  readonly #bare: string;
  #signature: Buffer = Buffer.alloc(0);

  constructor(keys: ScramKeys) {
    this.#keys = keys;
    this.#bare = `n=,r=${randomBytes(NONCE_BYTES).toString("base64")}`;
  }

  get clientFirst(): Buffer {
    return Buffer.from(`n,,${this.#bare}`);
  }

  /** The client's last message; undefined when the server's first is not one. */
  answer(serverFirst: Uint8Array): Buffer | undefined {
    const [, nonce] = /^r=([^,]+),s=[^,]+,i=\d+/.exec(textOf(serverFirst)) ?? [];
    const own = this.#bare.slice("n=,r=".length);
    if (nonce === undefined || !nonce.startsWith(own) || nonce === own) return undefined;
    const unproven = `c=biws,r=${nonce}`;
    const said = `${this.#bare},${textOf(serverFirst)},${unproven}`;
    const { clientKey, verifier } = this.#keys;
    this.#signature = hmac(verifier.serverKey, said);
    const proof = mixed(clientKey, hmac(storedKeyOf(clientKey), said)).toString("base64");
    return Buffer.from(`${unproven},p=${proof}`);
  }

  /** Whether a server's last message shows that it has the same verifier. */
  trusts(serverFinal: Uint8Array): boolean {
    return textOf(serverFinal) === `v=${this.#signature.toString("base64")}`;
  }
}

function storedKeyOf(clientKey: Buffer): Buffer {
  return createHash("sha256").update(clientKey).digest();
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function mixed(one: Buffer, other: Buffer): Buffer {
  return Buffer.from(one.map((byte, at) => byte ^ (other[at] ?? 0)));
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("utf8");
}
