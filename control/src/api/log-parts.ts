import type { LogPart } from "../app/host-questions.ts";
import type { AskedPart } from "../app/logs.ts";

/** Logs of servers, as the API shows them: of a tenant's own, and of any. */
export interface Logs {
  ofTenant(tenant: string, part: AskedPart, signal: AbortSignal): Promise<LogPart>;
  ofInstance(instance: string, part: AskedPart, signal: AbortSignal): Promise<LogPart>;
}

/** Which part of a log a request asks for. */
export function partOf({ cursor, maxBytes }: AskedPart): AskedPart {
  return { cursor, maxBytes };
}
