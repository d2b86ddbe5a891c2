/** Calls to Docker: each has a deadline, and what goes wrong is a fault that says what to do. */
import { Fault, messageOf } from "@aerodb/model";
import { monotonicMs, sleep, within } from "@aerodb/runtime";
import Docker from "dockerode";

const CALL_MS = 30_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

export function openDocker(socketPath: string): Docker {
  return new Docker({ socketPath });
}

/**
 * The answer to a call. `what` completes "Docker could not …". A connection that breaks in the
 * middle of an answer is not reported by the client, so that only the deadline ends such a call.
 */
export async function ask<Value>(
  what: string,
  call: Promise<Value>,
  deadlineMs = CALL_MS,
): Promise<Value> {
  try {
    return await within({ ms: deadlineMs, expecting: `Docker to ${what}` }, call);
  } catch (error) {
    if (error instanceof Fault) throw error;
    const said = messageOf(error).trim();
    throw new Fault("UNAVAILABLE", `Docker could not ${what}: ${said}`, { cause: error });
  }
}

/** HTTP status of a refusal by Docker; undefined when it did not answer at all. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Fault)) return undefined;
  return (error.cause as { readonly statusCode?: number } | undefined)?.statusCode;
}

/** Undefined instead of a refusal with one of these statuses. */
export async function unless<Value>(
  statuses: readonly number[],
  answer: Promise<Value>,
): Promise<Value | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (statuses.includes(statusOf(error) ?? 0)) return undefined;
    throw error;
  }
}

/** Waits for a Docker that may only just be starting, as after a boot. */
export async function untilDockerAnswers(docker: Docker, deadlineMs: number): Promise<void> {
  const deadline = monotonicMs() + deadlineMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      await ask("answer", docker.ping());
      return;
    } catch (error) {
      if (monotonicMs() >= deadline) throw error;
      await sleep(pauseMs);
    }
  }
}
