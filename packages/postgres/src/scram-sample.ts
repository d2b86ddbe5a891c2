/** The client's side of SCRAM with a password, for tests. */
import { createHmac, pbkdf2Sync } from "node:crypto";
import { parseScramVerifier } from "./scram.ts";

/** The key that a password makes with the salt of a verifier. */
export function clientKeyOf(password: string, verifierText: string): Buffer {
  const verifier = parseScramVerifier(verifierText);
  if (verifier === undefined) throw new Error("bug: not a verifier");
  const { salt, iterations } = verifier;
  const salted = pbkdf2Sync(password, salt, iterations, 32, "sha256");
  return createHmac("sha256", salted).update("Client Key").digest();
}
