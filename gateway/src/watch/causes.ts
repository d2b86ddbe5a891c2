/** Why an instance does not answer, as a try tells it and as it is told to control. */
import type { IncidentCause } from "@aerodb/model";

/** Why the gateway could not try at all. */
export const NO_PLACE = "the gateway does not know its host";
/** What Linux answers, for a unix socket, when the server's queue is full: it is up, and busy. */
export const QUEUE_IS_FULL = "EAGAIN";

/** The cause by what a try ended with. */
export function causeOf(because: string): IncidentCause {
  if (because === NO_PLACE) return "no_place";
  if (because === QUEUE_IS_FULL) return "busy";
  // What Postgres says with 57P03.
  return /starting up|shutting down|recovery|not yet accepting/.test(because)
    ? "starting"
    : "no_answer";
}
