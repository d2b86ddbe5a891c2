import { isIP } from "node:net";
import { hostname } from "node:os";
import { type HeldKeys, type KeyMaterial, lifeOf } from "@aerodb/identity";
import type { CertificateAuthority } from "@aerodb/identity/authority";
import { lookAgain, type Outcome } from "@aerodb/model";
import { type Logger, type Loop, now, startLoop } from "@aerodb/runtime";

const DEFAULT_DAYS = 7;
/** Clocks jump: the time is looked at no less often. */
const LOOK_MS = 3_600_000;

/**
 * A new certificate of control, with its authority behind it, for every name that it may be reached
 * by.
 */
export async function ownCertificate(
  authority: CertificateAuthority,
  names: readonly string[],
  validForDays: number = DEFAULT_DAYS,
): Promise<KeyMaterial> {
  const all = [...new Set(["localhost", "127.0.0.1", "::1", hostname(), ...names])];
  const reachable = all.filter((name) => name !== "0.0.0.0" && name !== "::");
  const issued = await authority.issue({
    peer: { kind: "control", id: "" },
    dnsNames: reachable.filter((name) => isIP(name) === 0),
    ipAddresses: reachable.filter((name) => isIP(name) !== 0),
    validForDays,
  });
  return {
    certificate: issued.certificate + authority.certificate,
    privateKey: issued.privateKey,
    caCertificate: authority.trusted,
  };
}

/** Puts a new certificate in the place of the one in use whenever it is due. */
export function keepOwnCertificate(
  keys: HeldKeys,
  options: {
    readonly authority: CertificateAuthority;
    readonly names: readonly string[];
    readonly validForDays: number;
    readonly logger: Logger;
    readonly signal: AbortSignal;
  },
): Loop {
  const { authority, names, validForDays, logger, signal } = options;
  async function pass(): Promise<Outcome> {
    const leftMs = lifeOf(keys.current.certificate).renewAt.getTime() - now().getTime();
    if (leftMs > 0) {
      return lookAgain({ afterMs: Math.min(leftMs, LOOK_MS), because: "it is not due yet" });
    }
    keys.replace(await ownCertificate(authority, names, validForDays));
    const { expiresAt } = lifeOf(keys.current.certificate);
    logger.info({ expiresAt }, "has a new certificate");
    return lookAgain({ afterMs: 0, because: "when it is due depends on the certificate" });
  }
  return startLoop(pass, { name: "own certificate", logger, signal, restMs: LOOK_MS });
}

/** The address that others dial to reach a port here. */
export function reachableAddress(listenAddress: string, port: number): string {
  const everywhere = listenAddress === "0.0.0.0" || listenAddress === "::";
  const host = everywhere ? hostname() : listenAddress;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
