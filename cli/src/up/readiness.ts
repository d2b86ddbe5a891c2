/** Whether the whole platform can make a tenant, as the gateway says it. */
import { Fault, messageOf } from "@aerodb/model";
import { monotonicMs, sleep } from "@aerodb/runtime";
import { z } from "zod";

export interface Readiness {
  readonly ready: boolean;
  /** Why not. */
  readonly reasons: readonly string[];
}

const ASK_MS = 5_000;
const LOOK_AGAIN_MS = 50;

const bodySchema = z.object({
  ready: z.boolean().optional(),
  degraded: z.boolean().optional(),
  reasons: z.array(z.string()).optional(),
  detail: z.string().optional(),
});

export async function askReadiness(baseUrl: string): Promise<Readiness> {
  try {
    const signal = AbortSignal.timeout(ASK_MS);
    const response = await fetch(new URL("/readyz", baseUrl), { signal });
    const text = await response.text();
    const body = bodyOf(text);
    // A gateway that serves tenants may still be without what a new one needs.
    if (body.ready === true && body.degraded !== true) return { ready: true, reasons: [] };
    return { ready: false, reasons: reasonsOf(body, response.status) };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const what = messageOf(cause) || "no answer";
    return { ready: false, reasons: [`the gateway does not answer at ${baseUrl} (${what})`] };
  }
}

function bodyOf(text: string): z.infer<typeof bodySchema> {
  try {
    return bodySchema.parse(JSON.parse(text));
  } catch {
    // Not the answer of our gateway; its status is all there is to say.
    return {};
  }
}

function reasonsOf(
  { reasons = [], detail }: z.infer<typeof bodySchema>,
  status: number,
): readonly string[] {
  if (reasons.length > 0) return reasons;
  return [detail ?? `the gateway answers ${status}`];
}

/** Waits until a tenant can be created. The fault of a late one says what is missing. */
export async function untilReady(
  baseUrl: string,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<void> {
  const startedAt = monotonicMs();
  for (;;) {
    const { ready, reasons } = await askReadiness(baseUrl);
    if (ready) return;
    if (monotonicMs() - startedAt > deadlineMs) {
      const waited = `Waited ${deadlineMs} ms until a tenant can be created`;
      throw new Fault("OPERATION_TIMED_OUT", `${waited}: ${reasons.join("; ")}.`);
    }
    await sleep(LOOK_AGAIN_MS, signal);
  }
}
