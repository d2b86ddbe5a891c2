/** How hosts and gateways become part of the platform: a join token is traded for an id, once. */
import { createHash } from "node:crypto";
import { violates } from "@aerodb/db";
import { Fault, type GatewayId, type HostId, isId } from "@aerodb/model";
import { newId, newSecret } from "@aerodb/runtime";
import { isGateway } from "../store/gateways.ts";
import { isRemoved } from "../store/host-removal.ts";
import { insertJoinToken, type Labels, tradeJoinToken } from "../store/join-tokens.ts";
import type { Caller, Control } from "./control.ts";
import { getHost } from "./hosts.ts";
import { cleanText, requireHostLabels } from "./text.ts";

export interface NewJoinToken {
  readonly kind: string;
  /** Region of the host that joins, made when it is new; not used for a gateway. */
  readonly region: string;
  /** 0: 15 minutes. */
  readonly ttlSeconds: number;
  /** Of the host that joins. */
  readonly labels?: Labels;
  /** Id or name of the host, or id of the gateway, that joins again. Empty: a new one. */
  readonly rejoins?: string;
}

/**
 * A new token. Its `id` is 26 characters and its `secret` 43: the caller formats and shows them
 * once.
 */
export interface JoinTokenMade {
  readonly id: string;
  readonly secret: string;
  readonly expiresAt: Date;
}

export interface JoinRequest {
  readonly tokenId: string;
  readonly secret: string;
  /** SHA-256 of the public key (SPKI, DER) that the joiner proved to hold. */
  readonly publicKeySha256: Uint8Array;
  readonly name: string;
  /** What joins, and the id it has already. Empty when it does not say, or has none. */
  readonly kind?: string;
  readonly heldId?: string;
}

export type Joined =
  | { readonly kind: "host"; readonly id: HostId }
  | { readonly kind: "gateway"; readonly id: GatewayId };

const DEFAULT_TTL_SECONDS = 900;
const MAX_TTL_SECONDS = 86_400;
const MAX_NAME_LENGTH = 63;

/**
 * Makes a join token. INVALID_ARGUMENT for another kind or a host without a region; HOST_NOT_FOUND
 * and GATEWAY_NOT_FOUND when who joins again is not known.
 */
export async function createJoinToken(
  control: Control,
  caller: Caller,
  ask: NewJoinToken,
): Promise<JoinTokenMade> {
  const { kind, labels = {} } = ask;
  const ttlSeconds = ask.ttlSeconds === 0 ? DEFAULT_TTL_SECONDS : ask.ttlSeconds;
  if (kind !== "host" && kind !== "gateway") {
    throw new Fault("INVALID_ARGUMENT", "A join token is for a host or a gateway.");
  }
  requireHostLabels(labels);
  if (!(ttlSeconds > 0 && ttlSeconds <= MAX_TTL_SECONDS)) {
    throw new Fault("INVALID_ARGUMENT", "A join token lives at most a day.");
  }
  const { region, rejoins } = await settleWho(control, { ...ask, kind });
  // Only the part of an id after its prefix: a token is named by its use, never as a resource.
  const id = newId("key").slice("key_".length);
  const secret = newSecret();
  const expiresAt = await insertJoinToken(control.database, {
    id,
    kind,
    region,
    labels,
    rejoins,
    secretSha256: sha256(secret),
    ttlSeconds,
    principal: caller.principal,
    eventRequestId: caller.requestId,
  });
  return { id, secret, expiresAt };
}

/** Where a token lets somebody in, and as whom. */
async function settleWho(
  control: Control,
  { kind, region, rejoins = "" }: NewJoinToken,
): Promise<{ readonly region: string | null; readonly rejoins: string | null }> {
  if (rejoins === "") {
    if (kind === "gateway") return { region: null, rejoins: null };
    if (/^[a-z][a-z0-9-]{0,62}$/.test(region)) return { region, rejoins: null };
    const sentence = "A host joins a region: 1 to 63 of a-z, 0-9 and hyphens, a letter first.";
    throw new Fault("INVALID_ARGUMENT", sentence);
  }
  if (kind === "host") {
    const host = await getHost(control, rejoins);
    return { region: host.region, rejoins: host.id };
  }
  if (isId("gtw", rejoins) && (await isGateway(control.database, rejoins))) {
    return { region: null, rejoins };
  }
  throw new Fault("GATEWAY_NOT_FOUND", `There is no gateway ${JSON.stringify(rejoins)}.`);
}

/**
 * Trades a token for an identity. A repeat with the same public key gives the same one for a day,
 * even after the token expired. A token for a new one is refused to who is known already, and the
 * other way round. All of it is PERMISSION_DENIED without saying which.
 */
export async function join(control: Control, request: JoinRequest): Promise<Joined> {
  const known = /^[0-9a-z]{26}$/.test(request.tokenId);
  const joined = known ? await trade(control, request) : undefined;
  if (joined !== undefined) return joined as Joined;
  const remedy = await remedyFor(control, request);
  throw new Fault(
    "PERMISSION_DENIED",
    "The join token is unknown, expired, revoked, used by another or for something else: " +
      `${remedy}.`,
  );
}

/** What helps who was refused. */
async function remedyFor(control: Control, request: JoinRequest): Promise<string> {
  const { kind = "host", heldId = "" } = request;
  if (heldId === "") return "make a new one";
  if (isId("hst", heldId) && (await isRemoved(control.database, heldId))) {
    return `${heldId} was removed, so move its identity away and use one for a new host`;
  }
  return `make one for this ${kind} with \`aerodb hosts token create --${kind} ${heldId}\``;
}

async function trade(control: Control, request: JoinRequest) {
  const wanted = {
    tokenId: request.tokenId,
    secretSha256: sha256(request.secret),
    publicKeySha256: request.publicKeySha256,
    name: cleanText(request.name, MAX_NAME_LENGTH).trim() || "unnamed",
    kind: request.kind ?? "",
    heldId: request.heldId ?? "",
    newHostId: newId("hst"),
    newGatewayId: newId("gtw"),
  };
  try {
    return await tradeJoinToken(control.database, wanted);
  } catch (error) {
    if (!violates(error, "hosts_name_key")) throw error;
    // Another host took the name at the same moment; now that is seen and the name gets an end.
    return tradeJoinToken(control.database, wanted);
  }
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
