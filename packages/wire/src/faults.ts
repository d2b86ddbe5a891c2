/** The one place where faults become codes of the wire, and codes become faults again. */
import { FAULT_CODES, Fault, type FaultCode, type FaultKind, type Json } from "@aerodb/model";
import { FaultDetailSchema } from "@aerodb/rpc/aerodb/control/v1/fault_pb.js";
import type { JsonObject } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

/** A new kind does not compile until it has a code. */
const CODE: Record<FaultKind, Code> = {
  invalid: Code.InvalidArgument,
  unauthenticated: Code.Unauthenticated,
  denied: Code.PermissionDenied,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  wrong_state: Code.FailedPrecondition,
  superseded: Code.Aborted,
  over_quota: Code.ResourceExhausted,
  too_late: Code.DeadlineExceeded,
  unavailable: Code.Unavailable,
};

/** What to call an error that carries no detail of ours, by its code. */
const FALLBACK: Partial<Record<Code, FaultCode>> = {
  [Code.InvalidArgument]: "INVALID_ARGUMENT",
  [Code.Unauthenticated]: "UNAUTHENTICATED",
  [Code.PermissionDenied]: "PERMISSION_DENIED",
  [Code.DeadlineExceeded]: "OPERATION_TIMED_OUT",
  [Code.Unavailable]: "UNAVAILABLE",
  // Without our detail it is the transport that speaks: the other side went away in the middle.
  [Code.Aborted]: "UNAVAILABLE",
  [Code.Canceled]: "UNAVAILABLE",
};

export function faultToConnectError(fault: Fault): ConnectError {
  const details = { code: fault.code, details: fault.details as JsonObject };
  return new ConnectError(
    fault.message,
    CODE[fault.kind],
    undefined,
    [{ desc: FaultDetailSchema, value: details }],
    fault,
  );
}

/** The fault an error of the wire stands for; undefined when it is a bug of the other side. */
export function faultFromConnectError(error: ConnectError): Fault | undefined {
  const [detail] = error.findDetails(FaultDetailSchema);
  const code = detail?.code ?? FALLBACK[error.code];
  if (code === undefined || !(code in FAULT_CODES)) return undefined;
  return new Fault(code as FaultCode, error.rawMessage, {
    cause: error,
    details: (detail?.details ?? {}) as { readonly [key: string]: Json },
  });
}

/** Turns faults into codes. Any other error is a bug: Connect answers INTERNAL without its text. */
export const faultsToCodes: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (error) {
    throw error instanceof Fault ? faultToConnectError(error) : error;
  }
};
