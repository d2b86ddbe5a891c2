/** What went wrong, as the caller sees it. Add a kind only when some caller would act on it. */
export type FaultKind =
  | "invalid" // It can never succeed as written.
  | "unauthenticated" // Nobody knows who asks.
  | "denied" // The caller is known and may not.
  | "not_found" // There is no such thing, or none this caller may know of.
  | "already_exists" // The name or id is taken.
  | "wrong_state" // The thing must change state before this can work.
  | "superseded" // Someone newer changed or took it: read again before deciding.
  | "over_quota" // The plan allows no more.
  | "too_late" // The deadline passed; what was asked may still happen.
  | "unavailable"; // A dependency is down or full: back off and retry.

/**
 * Every code the API answers, and the kind of fault it is. Programs act on the code, people read
 * the message.
 */
export const FAULT_CODES = {
  INVALID_ARGUMENT: "invalid",
  INVALID_TENANT_NAME: "invalid",
  INVALID_ISOLATION_MODEL: "invalid",
  INVALID_PAGE_TOKEN: "invalid",
  PLAN_NOT_FOUND: "invalid",
  REGION_NOT_FOUND: "invalid",
  SHARED_TABLES_REFUSED: "invalid",
  PLAN_CHANGE_NEEDS_MOVE: "wrong_state",
  REQUEST_ID_REUSED: "wrong_state",
  UNAUTHENTICATED: "unauthenticated",
  PERMISSION_DENIED: "denied",
  TENANT_NOT_FOUND: "not_found",
  HOST_NOT_FOUND: "not_found",
  OPERATION_NOT_FOUND: "not_found",
  KEY_NOT_FOUND: "not_found",
  JOIN_TOKEN_NOT_FOUND: "not_found",
  GATEWAY_NOT_FOUND: "not_found",
  INSTANCE_NOT_FOUND: "not_found",
  INVOICE_NOT_FOUND: "not_found",
  TENANT_NAME_EXISTS: "already_exists",
  SHARED_TABLES_NAME_EXISTS: "already_exists",
  PRICE_EXISTS: "already_exists",
  TENANT_NOT_ACTIVE: "wrong_state",
  SHARED_INSTANCE: "wrong_state",
  NO_SHARED_INSTANCE: "wrong_state",
  LOG_IS_SHARED: "wrong_state",
  HOST_CONNECTED: "wrong_state",
  HOST_IN_USE: "wrong_state",
  NOT_BILLABLE: "wrong_state",
  QUOTA_EXCEEDED: "over_quota",
  SUPERSEDED: "superseded",
  OPERATION_TIMED_OUT: "too_late",
  OPERATION_FAILED: "unavailable",
  NO_FEASIBLE_HOST: "unavailable",
  UNAVAILABLE: "unavailable",
} as const satisfies Record<string, FaultKind>;

export type FaultCode = keyof typeof FAULT_CODES;

/** What belongs to a fault besides its sentence: plain JSON. */
export type FaultDetails = { readonly [key: string]: Json };
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json };

/** A failure we expect and name. Anything else that is thrown is a bug. */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly code: FaultCode;
  readonly details: FaultDetails;

  constructor(
    code: FaultCode,
    message: string,
    options: ErrorOptions & { readonly details?: FaultDetails } = {},
  ) {
    super(message, options);
    this.code = code;
    this.details = options.details ?? {};
  }

  get kind(): FaultKind {
    return FAULT_CODES[this.code];
  }
}

/** The sentence of anything thrown, for a log line or a reason. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
