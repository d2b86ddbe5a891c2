/** Connect's own paths on the REST port: each method is passed on to control as it is. */
import type { DescService, Message } from "@bufbuild/protobuf";
import { ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { isUnary } from "./bindings.ts";
import type { Control } from "./control.ts";

/** Registers every unary method of the services. */
export function passOn(
  services: readonly DescService[],
  control: Control,
): (router: ConnectRouter) => void {
  return (router) => {
    for (const service of services) {
      for (const method of service.methods) {
        if (!isUnary(method)) continue;
        router.rpc(method, async (request: Message, { requestHeader, signal }: HandlerContext) => {
          try {
            return await control.call(method, request, { headers: requestHeader, signal });
          } catch (error) {
            throw withoutMetadata(ConnectError.from(error));
          }
        });
      }
    }
  };
}

/** The error as control said it, without the headers it came with: those belong to our own call. */
function withoutMetadata(error: ConnectError): ConnectError {
  const passed = new ConnectError(error.rawMessage, error.code);
  passed.details = error.details;
  return passed;
}
