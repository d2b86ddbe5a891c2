import { createHash, createHmac, pbkdf2, randomBytes } from "node:crypto";
import { promisify } from "node:util";

const derive = promisify(pbkdf2);

const KEY_BYTES = 32;
const SALT_BYTES = 16;
/** What Postgres itself uses. */
export const SCRAM_ITERATIONS = 4096;

/** What a server keeps of a password: enough to check one, not enough to log in. */
export interface ScramVerifier {
  readonly iterations: number;
  readonly salt: Buffer;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

/** The verifier of a password, as Postgres stores it and accepts it in `PASSWORD '…'`. */
export async function scramVerifier(
  password: string,
  options: { readonly iterations?: number; readonly salt?: Uint8Array } = {},
): Promise<string> {
  // Postgres and its clients prepare other characters (SASLprep), and not all alike.
  if (!/^[\x21-\x7e]+$/.test(password)) {
    throw new Error("bug: a password of other than visible ASCII characters");
  }
  const iterations = options.iterations ?? SCRAM_ITERATIONS;
  const salt = Buffer.from(options.salt ?? randomBytes(SALT_BYTES));
  const salted = await derive(password, salt, iterations, KEY_BYTES, "sha256");
  const storedKey = createHash("sha256").update(hmac(salted, "Client Key")).digest();
  const serverKey = hmac(salted, "Server Key");
  return formatScramVerifier({ iterations, salt, storedKey, serverKey });
}

export function formatScramVerifier(verifier: ScramVerifier): string {
  const { iterations, salt, storedKey, serverKey } = verifier;
  const keys = `${storedKey.toString("base64")}:${serverKey.toString("base64")}`;
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${keys}`;
}

const KEY = "([A-Za-z0-9+/]{43}=)";
const VERIFIER = new RegExp(
  `^SCRAM-SHA-256\\$([1-9][0-9]{0,9}):([A-Za-z0-9+/]+=*)\\$${KEY}:${KEY}$`,
);

/** Reads a verifier; undefined when the text is none. */
export function parseScramVerifier(text: string): ScramVerifier | undefined {
  const [, iterations, salt, storedKey, serverKey] = VERIFIER.exec(text) ?? [];
  if (!iterations || !salt || !storedKey || !serverKey) return undefined;
  return {
    iterations: Number(iterations),
    salt: Buffer.from(salt, "base64"),
    storedKey: Buffer.from(storedKey, "base64"),
    serverKey: Buffer.from(serverKey, "base64"),
  };
}

/** A new password: 240 random bits in 40 characters that need no escaping in a URI. */
export function generatePassword(): string {
  return randomBytes(30).toString("base64url");
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
