/** Who may be here: what certificates are worth, and their end before their time. */
import { Fault, isId } from "@aerodb/model";
import { type Gateway, listGateways as listThem } from "../store/gateways.ts";
import * as store from "../store/identities.ts";
import type { JoinToken } from "../store/join-tokens.ts";
import {
  listJoinTokens as listTokens,
  revokeJoinToken as revokeToken,
} from "../store/join-tokens.ts";
import type { Caller, Control } from "./control.ts";
import { getHost } from "./hosts.ts";
import { requireText } from "./text.ts";

export type { Gateway, JoinToken };

/** A certificate of the platform that was shown: TLS has verified it, and its time. */
export interface ShownCertificate {
  readonly kind: string;
  readonly id: string;
  readonly serial: string;
  readonly issuedAt: Date;
}

/** No host and no gateway needs more; who asks for more wants to fill the catalogue. */
const MOST_CERTIFICATES_PER_HOUR = 1_000;

/**
 * Throws PERMISSION_DENIED when the one it names was revoked, joined again since, or is unknown.
 */
export async function requireStanding(control: Control, shown: ShownCertificate): Promise<void> {
  const standing = await store.readStanding(control.database, shown);
  if (standing !== undefined && standing.revokedAt === null && !standing.replaced) return;
  throw new Fault("PERMISSION_DENIED", `${refusal(shown, standing)}.`);
}

function refusal({ kind, id }: ShownCertificate, standing: store.Standing | undefined): string {
  if (standing === undefined) return `The catalogue knows no ${kind} ${id}`;
  const who = `The ${kind} ${standing.name} (${id})`;
  if (standing.removedAt !== null) {
    const removed = `${who} was removed on ${standing.removedAt.toISOString()}`;
    return `${removed}: move its identity away and join anew, with a token for a new ${kind}`;
  }
  if (standing.revokedAt === null) return `${who} has joined again: this certificate is of before`;
  return `${who} was revoked on ${standing.revokedAt.toISOString()}`;
}

/** Keeps that a certificate is issued. Must end before it is given out. */
export async function recordCertificate(
  control: Control,
  certificate: store.NewCertificate,
): Promise<void> {
  if (await store.insertCertificate(control.database, certificate, MOST_CERTIFICATES_PER_HOUR)) {
    return;
  }
  throw new Fault(
    "UNAVAILABLE",
    `${certificate.subject} was given ${MOST_CERTIFICATES_PER_HOUR} certificates within an hour.`,
  );
}

/** Every join token that can still be used. */
export function listJoinTokens(control: Control): Promise<readonly JoinToken[]> {
  return listTokens(control.database);
}

/** Ends a join token. JOIN_TOKEN_NOT_FOUND when there is none in force. */
export async function revokeJoinToken(
  control: Control,
  caller: Caller,
  tokenId: string,
): Promise<void> {
  const revoked =
    /^[0-9a-z]{26}$/.test(tokenId) &&
    (await revokeToken(control.database, {
      tokenId,
      principal: caller.principal,
      eventRequestId: caller.requestId,
    }));
  if (revoked) return;
  const sentence = `There is no join token ${JSON.stringify(tokenId)} in force.`;
  throw new Fault("JOIN_TOKEN_NOT_FOUND", sentence);
}

export interface Revoked {
  readonly id: string;
  readonly revokedAt: Date;
}

/** Ends the identity of a host, by id or name. HOST_NOT_FOUND. */
export async function revokeHost(
  control: Control,
  caller: Caller,
  ask: { readonly host: string; readonly reason: string },
): Promise<Revoked> {
  requireText("The reason", ask.reason);
  const { id } = await getHost(control, ask.host);
  const revokedAt = await store.revokeHost(control.database, id, revocation(caller, ask.reason));
  if (revokedAt !== undefined) return { id, revokedAt };
  throw new Fault("HOST_NOT_FOUND", `There is no host ${JSON.stringify(ask.host)}.`);
}

/** Every gateway that ever joined, the oldest first. */
export function listGateways(control: Control): Promise<readonly Gateway[]> {
  return listThem(control.database);
}

/** Ends the identity of a gateway. GATEWAY_NOT_FOUND. */
export async function revokeGateway(
  control: Control,
  caller: Caller,
  ask: { readonly gatewayId: string; readonly reason: string },
): Promise<Revoked> {
  requireText("The reason", ask.reason);
  const { gatewayId: id, reason } = ask;
  const revokedAt = isId("gtw", id)
    ? await store.revokeGateway(control.database, id, revocation(caller, reason))
    : undefined;
  if (revokedAt !== undefined) return { id, revokedAt };
  throw new Fault("GATEWAY_NOT_FOUND", `There is no gateway ${JSON.stringify(id)}.`);
}

function revocation({ principal, requestId }: Caller, reason: string): store.Revocation {
  return { reason, principal, eventRequestId: requestId };
}
