/**
 * What the REST API answers when it does not do what was asked: application/problem+json (RFC
 * 9457).
 */
import { Fault, type FaultDetails, type FaultKind } from "@aerodb/model";
import { faultFromConnectError } from "@aerodb/wire";
import { Code, ConnectError } from "@connectrpc/connect";

export interface Problem {
  readonly status: number;
  /** A constant a program may act on. */
  readonly code: string;
  /** One sentence for a person. */
  readonly sentence: string;
  readonly details: FaultDetails;
  readonly headers: Readonly<Record<string, string>>;
}

/** What REST itself refuses, before any service is asked. Thrown by what reads requests. */
export class RequestProblem extends Error {
  readonly problem: Problem;
  constructor(problem: Pick<Problem, "status" | "code" | "sentence"> & Partial<Problem>) {
    super(problem.sentence);
    this.problem = { details: {}, headers: {}, ...problem };
  }
}

/** A new kind of fault does not compile until it has a status. */
const STATUS: Readonly<Record<FaultKind, number>> = {
  invalid: 400,
  unauthenticated: 401,
  denied: 403,
  not_found: 404,
  already_exists: 409,
  wrong_state: 409,
  superseded: 409,
  over_quota: 429,
  too_late: 504,
  unavailable: 503,
};

/** When to try again, in seconds, by kind; other kinds are not cured by waiting. */
const RETRY_AFTER_SECONDS: Partial<Record<FaultKind, number>> = {
  too_late: 2,
  unavailable: 2,
};
/** A host with room does not come from one moment to the next. */
const NO_HOST_RETRY_SECONDS = 30;

const CHALLENGE = 'Bearer realm="aerodb"';

/** The sentence that stands for a control that cannot be reached. */
const CONTROL_IS_DOWN =
  "The control server does not answer, so nothing can be changed or looked up now. Tenants go on " +
  "being served. What you asked for may have begun: look before you ask again.";

export function malformed(sentence: string, details: FaultDetails = {}): RequestProblem {
  return new RequestProblem({ status: 400, code: "INVALID_ARGUMENT", sentence, details });
}

export function noSuchPath(path: string): RequestProblem {
  const sentence = `There is nothing at ${JSON.stringify(path.slice(0, 256))}.`;
  return new RequestProblem({ status: 404, code: "NOT_FOUND", sentence });
}

/** The problem that anything thrown while a request was served stands for; undefined for a bug. */
export function problemOf(thrown: unknown): Problem | undefined {
  if (thrown instanceof RequestProblem) return thrown.problem;
  if (thrown instanceof Fault) return problemOfFault(thrown);
  if (!(thrown instanceof ConnectError)) return undefined;
  const fault = faultFromConnectError(thrown);
  // No detail of ours: control did not answer, the transport gave up.
  if (fault?.code === "UNAVAILABLE" && thrown.details.length === 0) {
    return problemOfFault(new Fault("UNAVAILABLE", CONTROL_IS_DOWN));
  }
  if (fault !== undefined) return problemOfFault(fault);
  if (thrown.code !== Code.Unimplemented) return undefined;
  const sentence = "The control server does not know this method: it is older than this gateway.";
  return { status: 501, code: "UNIMPLEMENTED", sentence, details: {}, headers: {} };
}

/** Nothing is told about a bug but that it is one; the log has the rest under the request id. */
export const BUG: Problem = {
  status: 500,
  code: "INTERNAL",
  sentence: "Something went wrong inside. The request id leads to it in the log.",
  details: {},
  headers: {},
};

/** The body of the answer. */
export function problemBody(problem: Problem, requestId: string) {
  const { code, status, sentence, details } = problem;
  return {
    type: `urn:aerodb:fault:${code.toLowerCase().replaceAll("_", "-")}`,
    title: titleOf(code),
    status,
    detail: sentence,
    error: sentence,
    code,
    details,
    request_id: requestId,
  };
}

function problemOfFault(fault: Fault): Problem {
  const { code, kind, message: sentence, details } = fault;
  const headers: Record<string, string> = {};
  if (kind === "unauthenticated") headers["www-authenticate"] = CHALLENGE;
  const retryAfter = secondsToWait(fault);
  if (retryAfter !== undefined) headers["retry-after"] = String(retryAfter);
  return { status: STATUS[kind], code, sentence, details, headers };
}

/** A quota says itself whether waiting helps, and for how long: `quotaRefusal`. */
function secondsToWait({ code, kind, details }: Fault): number | undefined {
  if (code === "NO_FEASIBLE_HOST") return NO_HOST_RETRY_SECONDS;
  if (kind !== "over_quota") return RETRY_AFTER_SECONDS[kind];
  const seconds = details["retry_after_seconds"];
  return typeof seconds === "number" ? seconds : undefined;
}

/** `TENANT_NAME_EXISTS` as "Tenant name exists". */
function titleOf(code: string): string {
  const words = code.toLowerCase().replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
