import { Fault } from "@aerodb/model";
import { DatabaseError } from "pg";

/** Failures that pass by themselves, by SQLSTATE or its class. */
const PASSING: ReadonlyMap<string, string> = new Map([
  ["08", "its connection broke"],
  ["40", "another transaction was in the way"],
  ["53", "it is short of resources"],
  ["55P03", "another transaction held a lock"],
  ["57", "it was told to stop, or took too long"],
  ["58", "its files could not be read or written"],
]);
/** How Postgres puts it when two change one role at once. It has no code of its own. */
const CHANGED_AT_ONCE = /^tuple concurrently (?:updated|deleted)$/;
/** How the client puts it when the server is gone. */
const CONNECTION_LOST = /^(?:Connection terminated|Client has encountered a connection error)/;

/**
 * What to throw for a statement of ours that failed: a fault for what passes, else the error
 * itself. An error may quote the statement, and with it a verifier: that is taken out.
 */
export function databaseFault(error: unknown, doing: string): unknown {
  if (!(error instanceof Error)) return error;
  const why = passing(error);
  if (error instanceof DatabaseError) {
    error.internalQuery = undefined;
    error.where = undefined;
  }
  if (why === undefined) return error;
  const sentence = `The instance could not ${doing}, because ${why}: ${error.message}.`;
  return new Fault("UNAVAILABLE", sentence, { cause: error });
}

/** Whether a statement failed, and the session goes on. */
export function isOfStatement(error: unknown): boolean {
  return error instanceof DatabaseError && error.severity !== "FATAL";
}

/** Whether a statement failed because another changed the same row of the catalogue. */
export function wasChangedAtOnce({ message }: DatabaseError): boolean {
  return CHANGED_AT_ONCE.test(message);
}

function passing(error: Error): string | undefined {
  if (error instanceof DatabaseError) {
    if (wasChangedAtOnce(error)) return "somebody else changed the same";
    const code = error.code ?? "";
    return PASSING.get(code) ?? PASSING.get(code.slice(0, 2));
  }
  return CONNECTION_LOST.test(error.message) ? "its connection broke" : undefined;
}
