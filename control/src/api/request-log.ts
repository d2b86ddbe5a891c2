import { type Logger, monotonicMs, newSecret } from "@aerodb/runtime";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { principalKey, requestIdKey } from "./caller.ts";

const HEADER = "x-request-id";
const ACCEPTABLE = /^[\w.:-]{8,128}$/;
const READS = /^(Get|List|Check|Watch|ServerReflection)/;

/**
 * Gives every call an id (the caller's own, if it sent a usable one), and one line in the log with
 * how it ended: changes at `info`, reads at `debug`, bugs at `error`. Neither requests nor answers
 * are logged, so no secret can be. The outermost interceptor.
 */
export function requestLog(logger: Logger): Interceptor {
  return (next) => async (request) => {
    const requestId = requestIdOf(request.header);
    request.contextValues.set(requestIdKey, requestId);
    const startedMs = monotonicMs();
    const facts = (code: string): Readonly<Record<string, string | number>> => ({
      rpc: `${request.service.typeName}/${request.method.name}`,
      requestId,
      principal: request.contextValues.get(principalKey),
      code,
      ms: Math.round(monotonicMs() - startedMs),
    });
    try {
      const response = await next(request);
      response.header.set(HEADER, requestId);
      logger[READS.test(request.method.name) ? "debug" : "info"](facts("OK"), "answered");
      return response;
    } catch (error) {
      const named = nameError(error, request.signal);
      if (named === undefined) logger.error({ ...facts("Internal"), err: error }, "bug in a call");
      else logger.info(facts(Code[named.code]), named.rawMessage);
      const shown = named ?? new ConnectError(apology(requestId), Code.Internal);
      shown.metadata.set(HEADER, requestId);
      throw shown;
    }
  };
}

/** The error as the wire has it; undefined when it is a bug, whose text stays here. */
function nameError(error: unknown, signal: AbortSignal): ConnectError | undefined {
  if (error instanceof ConnectError) return error;
  // Whoever gave up waiting, or the deadline they gave.
  if (signal.aborted) return ConnectError.from(signal.reason, Code.Canceled);
  return undefined;
}

function apology(requestId: string): string {
  return `This is a fault of the platform; its log tells more under the request id ${requestId}.`;
}

function requestIdOf(header: Headers): string {
  const given = header.get(HEADER) ?? "";
  return ACCEPTABLE.test(given) ? given : newSecret().slice(0, 22);
}
