import { type Db, sql } from "@aerodb/db";
import type { GatewayId, HostId } from "@aerodb/model";

export type Labels = Readonly<Record<string, string>>;

export async function insertJoinToken(
  db: Db,
  token: {
    readonly id: string;
    readonly kind: "host" | "gateway";
    readonly region: string | null;
    readonly labels: Labels;
    /** Id of the host or gateway that joins again. */
    readonly rejoins: string | null;
    readonly secretSha256: Uint8Array;
    readonly ttlSeconds: number;
    readonly principal: string;
    readonly eventRequestId: string;
  },
): Promise<Date> {
  const labels = JSON.stringify(token.labels);
  const [made] = await db.query<{ expiresAt: Date }>(sql`
    with region as (
      insert into regions (name)
      select ${token.region}::text where ${token.region}::text is not null
      on conflict do nothing
    ), token as (
      insert into join_tokens (id, kind, region, labels, rejoins, secret_sha256, expires_at)
      values (${token.id}, ${token.kind}, ${token.region}, ${labels}::jsonb, ${token.rejoins},
              ${token.secretSha256}, now() + ${token.ttlSeconds} * interval '1 second')
      returning id, expires_at
    ), event as (
      insert into events (actor, kind, subject, after, request_id)
      select ${token.principal}, 'join_token.create', id,
             json_build_object('kind', ${token.kind}::text, 'region', ${token.region}::text,
                               'labels', ${labels}::json, 'rejoins', ${token.rejoins}::text),
             ${token.eventRequestId}
        from token
    )
    select expires_at as "expiresAt" from token`);
  if (made === undefined) throw new Error("bug: an inserted join token is no row");
  return made.expiresAt;
}

/** A token that can still be used. */
export interface JoinToken {
  readonly id: string;
  readonly kind: "host" | "gateway";
  /** Empty for a gateway. */
  readonly region: string;
  readonly labels: Labels;
  /** Empty for a new host or gateway. */
  readonly rejoins: string;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** Every token that can still be used, the oldest first. */
export function listJoinTokens(db: Db): Promise<JoinToken[]> {
  return db.query<JoinToken>(sql`
    select id, kind, coalesce(region, '') as region, labels, coalesce(rejoins, '') as rejoins,
           created_at as "createdAt", expires_at as "expiresAt"
      from join_tokens
     where used_by is null and revoked_at is null and expires_at > now()
     order by created_at, id`);
}

/** Ends a token, for a repeat of its answer too. False when there was nothing to end. */
export async function revokeJoinToken(
  db: Db,
  revocation: {
    readonly tokenId: string;
    readonly principal: string;
    readonly eventRequestId: string;
  },
): Promise<boolean> {
  const revoked = await db.query(sql`
    with token as (
      update join_tokens set revoked_at = now()
       where id = ${revocation.tokenId} and revoked_at is null
         and (used_by is not null or expires_at > now())
      returning id
    ), event as (
      insert into events (actor, kind, subject, request_id)
      select ${revocation.principal}, 'join_token.revoke', id, ${revocation.eventRequestId}
        from token
    )
    select id from token`);
  return revoked.length === 1;
}

export interface JoinTrade {
  readonly tokenId: string;
  readonly secretSha256: Uint8Array;
  readonly publicKeySha256: Uint8Array;
  readonly name: string;
  /** What joins; empty when it does not say. */
  readonly kind: string;
  /** Id it has already; empty for a new one. */
  readonly heldId: string;
  /** Ids to give to who joins, by what the token is for. */
  readonly newHostId: HostId;
  readonly newGatewayId: GatewayId;
}

/**
 * Trades a token for an id, once; a repeat with the same key gives the same, for a day and unless
 * who joined was revoked since. Who joins again is revoked no more, its earlier certificates are
 * refused, and gateways hear of its endpoints. Undefined: refused.
 */
export async function tradeJoinToken(
  db: Db,
  trade: JoinTrade,
): Promise<{ readonly kind: "host" | "gateway"; readonly id: string } | undefined> {
  const [traded] = await db.query<{ kind: "host" | "gateway"; id: string }>(sql`
    with token as (
      update join_tokens t
         set used_by = coalesce(used_by, rejoins, case kind when 'host' then ${trade.newHostId}
                                                            else ${trade.newGatewayId} end),
             used_at = coalesce(used_at, now()),
             public_key_sha256 = ${trade.publicKeySha256}
       where id = ${trade.tokenId} and secret_sha256 = ${trade.secretSha256}
         and revoked_at is null and kind = coalesce(nullif(${trade.kind}, ''), kind)
         and rejoins is not distinct from nullif(${trade.heldId}, '')
         and not exists (select from hosts h
                          where h.id = t.rejoins and h.removed_at is not null)
         and ((used_by is null and expires_at > now())
              or (public_key_sha256 = ${trade.publicKeySha256}
                  and coalesce(used_at, created_at) > now() - interval '1 day'
                  and not exists (select from hosts h
                                   where h.id = t.used_by and h.revoked_at is not null)
                  and not exists (select from gateways g
                                   where g.id = t.used_by and g.revoked_at is not null)))
      -- A first use has the time of this transaction.
      returning kind, region, labels, used_by as id,
                rejoins is not null and used_at = now() as again
    ), bump as (
      update platform set generation = generation + 1
       where exists (select from token where again and kind = 'host')
      returning generation
    ), host as (
      insert into hosts (id, name, region, labels)
      -- Another machine of this name stays who it is; the newcomer's name gets the end of its id.
      select id, case when exists (select from hosts
                                   where name = ${trade.name} and removed_at is null)
                      then ${trade.name} || '-' || right(id, 6) else ${trade.name} end,
             region, labels
        from token where kind = 'host' and id = ${trade.newHostId}
    ), gateway as (
      insert into gateways (id, name)
      select id, ${trade.name} from token
       where kind = 'gateway' and id = ${trade.newGatewayId}
    ), host_again as (
      update hosts set revoked_at = null, revoked_reason = '', rejoined_at = now()
        from token where again and hosts.id = token.id
    ), gateway_again as (
      update gateways set revoked_at = null, revoked_reason = '', rejoined_at = now()
        from token where again and gateways.id = token.id
    ), earlier as (
      update certificates set refused_at = now()
        from token where again and subject = token.id and refused_at is null
    ), endpoint as (
      update instances i set route_generation = bump.generation
        from bump, token where i.host_id = token.id and i.gone_at is null
    ), event as (
      insert into events (actor, kind, subject, after)
      select 'system', kind || case when again then '.rejoin' else '.join' end, id,
             json_build_object('name', ${trade.name}::text, 'join_token', ${trade.tokenId}::text)
        from token where again or id in (${trade.newHostId}, ${trade.newGatewayId})
    )
    select kind, id,
           (select count(pg_notify('aerodb_identities', id)) from token where again) as told,
           (select count(pg_notify('aerodb_routes', '')) from bump) as routed
      from token`);
  return traded && { kind: traded.kind, id: traded.id };
}
