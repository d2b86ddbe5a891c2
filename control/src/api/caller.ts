import { createContextKey, type HandlerContext } from "@connectrpc/connect";

/** Who calls, and under which id the call is found in the log. */
export interface ApiCaller {
  /** Id of the caller's key; `anonymous` where no key is needed. */
  readonly principal: string;
  readonly requestId: string;
}

export const requestIdKey = createContextKey<string>("", { description: "request id" });
export const principalKey = createContextKey<string>("anonymous", { description: "principal" });

export function callerOf(context: Pick<HandlerContext, "values">): ApiCaller {
  return {
    principal: context.values.get(principalKey),
    requestId: context.values.get(requestIdKey),
  };
}
