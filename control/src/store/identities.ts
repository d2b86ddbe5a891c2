/** Hosts and gateways as those who prove who they are: certificates, and their end. */
import { type Db, sql } from "@aerodb/db";
import type { GatewayId, HostId } from "@aerodb/model";

export interface NewCertificate {
  readonly serial: string;
  /** Id of the host or gateway. */
  readonly subject: string;
  readonly publicKeySha256: Uint8Array;
  readonly expiresAt: Date;
}

/**
 * Keeps that a certificate was issued, before it is given out. False when its subject has been
 * given `mostPerHour` within the hour.
 */
export async function insertCertificate(
  db: Db,
  certificate: NewCertificate,
  mostPerHour: number,
): Promise<boolean> {
  const kept = await db.query(sql`
    insert into certificates (serial, subject, public_key_sha256, expires_at)
    select ${certificate.serial}, ${certificate.subject}, ${certificate.publicKeySha256},
           ${certificate.expiresAt}
     where (select count(*) from certificates
             where subject = ${certificate.subject}
               and issued_at > now() - interval '1 hour') < ${mostPerHour}
    returning serial`);
  return kept.length === 1;
}

/** What stands against somebody who shows a certificate that is good as such. */
export interface Standing {
  readonly name: string;
  readonly revokedAt: Date | null;
  readonly removedAt: Date | null;
  /** It was issued before its subject joined again. */
  readonly replaced: boolean;
}

/**
 * Undefined: there is no such host or gateway. A certificate that the catalogue does not know was
 * issued by this platform all the same: the catalogue may have been restored from an older backup.
 */
export async function readStanding(
  db: Db,
  shown: { readonly id: string; readonly serial: string; readonly issuedAt: Date },
): Promise<Standing | undefined> {
  const [standing] = await db.query<Standing>(sql`
    select s.name, s.revoked_at as "revokedAt", s.removed_at as "removedAt",
           coalesce(case when c.serial is null then s.rejoined_at > ${shown.issuedAt}
                         else c.refused_at is not null end, false) as replaced
      from (select id, name, revoked_at, removed_at, rejoined_at from hosts where id = ${shown.id}
            union all
            select id, name, revoked_at, null, rejoined_at from gateways
             where id = ${shown.id}) s
      left join certificates c on c.serial = ${shown.serial} and c.subject = s.id`);
  return standing;
}

export interface Revocation {
  readonly reason: string;
  readonly principal: string;
  readonly eventRequestId: string;
}

/**
 * Ends the identity of a host: its certificates, its session, its endpoints and the tokens with
 * which it might join again. Returns when that was, then or before; undefined: no such host.
 */
export async function revokeHost(
  db: Db,
  hostId: HostId,
  { reason, principal, eventRequestId }: Revocation,
): Promise<Date | undefined> {
  const [revoked] = await db.query<{ revokedAt: Date }>(sql`
    with bump as (
      update platform set generation = generation + 1
       where exists (select from hosts where id = ${hostId} and revoked_at is null)
      returning generation
    ), host as (
      update hosts
         set revoked_at = now(), revoked_reason = ${reason}, session_token = null
        from bump
       where id = ${hostId} and revoked_at is null
      returning id, revoked_at
    ), certificate as (
      update certificates set refused_at = now()
        from host where subject = host.id and refused_at is null
    ), token as (
      update join_tokens t set revoked_at = now()
        from host where t.rejoins = host.id and t.revoked_at is null
    ), endpoint as (
      update instances i set route_generation = bump.generation
        from bump, host where i.host_id = host.id and i.gone_at is null
    ), event as (
      insert into events (actor, kind, subject, after, request_id)
      select ${principal}, 'host.revoke', id, json_build_object('reason', ${reason}::text),
             ${eventRequestId}
        from host
    )
    select coalesce(host.revoked_at, h.revoked_at) as "revokedAt",
           (select count(pg_notify('aerodb_identities', id)) from host) as told,
           (select count(pg_notify('aerodb_routes', '')) from host) as routed
      from hosts h left join host on true
     where h.id = ${hostId}`);
  return revoked?.revokedAt;
}

/** Ends the identity of a gateway likewise. */
export async function revokeGateway(
  db: Db,
  gatewayId: GatewayId,
  { reason, principal, eventRequestId }: Revocation,
): Promise<Date | undefined> {
  const [revoked] = await db.query<{ revokedAt: Date }>(sql`
    with gateway as (
      update gateways set revoked_at = now(), revoked_reason = ${reason}
       where id = ${gatewayId} and revoked_at is null
      returning id, revoked_at
    ), certificate as (
      update certificates set refused_at = now()
        from gateway where subject = gateway.id and refused_at is null
    ), token as (
      update join_tokens t set revoked_at = now()
        from gateway where t.rejoins = gateway.id and t.revoked_at is null
    ), event as (
      insert into events (actor, kind, subject, after, request_id)
      select ${principal}, 'gateway.revoke', id, json_build_object('reason', ${reason}::text),
             ${eventRequestId}
        from gateway
    )
    select coalesce(gateway.revoked_at, g.revoked_at) as "revokedAt",
           (select count(pg_notify('aerodb_identities', id)) from gateway) as told
      from gateways g left join gateway on true
     where g.id = ${gatewayId}`);
  return revoked?.revokedAt;
}

/** Removes certificates that expired more than a day ago. */
export async function purgeCertificates(db: Db): Promise<void> {
  await db.query(sql`
    delete from certificates where expires_at < now() - interval '1 day'`);
}
