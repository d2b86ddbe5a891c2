/** Ids are a prefix, `_` and 26 characters of Crockford base32 UUIDv7 (TypeID). */
declare const kind: unique symbol;
type Id<Kind extends string> = string & { readonly [kind]: Kind };

export type TenantId = Id<"tenant">;
export type InstanceId = Id<"instance">;
export type HostId = Id<"host">;
export type GatewayId = Id<"gateway">;
export type OperationId = Id<"operation">;
export type KeyId = Id<"key">;
export type InvoiceId = Id<"invoice">;
export type CreditNoteId = Id<"credit note">;
export type PlanName = Id<"plan">;
export type RegionName = Id<"region">;

/** The prefix of each kind of id. */
export interface IdByPrefix {
  readonly ten: TenantId;
  readonly ins: InstanceId;
  readonly hst: HostId;
  readonly gtw: GatewayId;
  readonly op: OperationId;
  readonly key: KeyId;
  readonly inv: InvoiceId;
  readonly crn: CreditNoteId;
}

const BODY = /^[0-7][0-9a-hjkmnp-tv-z]{25}$/;

/** Whether a text is an id of the kind that the prefix stands for. */
export function isId<Prefix extends keyof IdByPrefix>(
  prefix: Prefix,
  text: string,
): text is IdByPrefix[Prefix] {
  return text.startsWith(`${prefix}_`) && BODY.test(text.slice(prefix.length + 1));
}
