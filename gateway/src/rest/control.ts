/**
 * Calls to control's API, on behalf of whoever called us: their key goes along, ours does not
 * exist.
 */
import type { Keys } from "@aerodb/identity";
import { PlatformService } from "@aerodb/rpc/aerodb/control/v1/platform_service_pb.js";
import {
  create,
  type DescMethodUnary,
  type Message,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ControlSession, type SessionTimes } from "./control-session.ts";

/** Longer than any deadline of control's own, so that control says what took too long. */
const CALL_DEADLINE_MS = 60_000;
const READINESS_DEADLINE_MS = 2_000;
/** What a caller may say to control through us. */
const FORWARDED = ["authorization", "x-request-id", "traceparent"] as const;

export interface Control {
  /** Throws ConnectError. The signal ends the wait and not what was asked for. */
  call(
    method: DescMethodUnary,
    message: Message,
    caller: { readonly headers: Headers; readonly signal: AbortSignal },
  ): Promise<Message>;
  /** Why no tenant can be created now, a sentence each; empty when one can. */
  reasonsNotReady(): Promise<readonly string[]>;
}

/** One connection, made at the first call and made again when it was lost. */
export function connectControl(
  control: { readonly apiAddress: string; readonly keys: Keys },
  times?: SessionTimes,
): Control & { close(): void } {
  const baseUrl = `https://${control.apiAddress}`;
  const sessionManager = new ControlSession({ baseUrl, keys: control.keys }, times);
  const transport = createGrpcTransport({ baseUrl, sessionManager });
  return { ...controlOver(transport), close: () => sessionManager.close() };
}

/** Calls over any transport. */
export function controlOver(transport: Transport): Control {
  return {
    async call(method, message, { headers, signal }) {
      const forwarded = new Headers();
      for (const name of FORWARDED) {
        const value = headers.get(name);
        if (value !== null) forwarded.set(name, value);
      }
      const request = message as MessageInitShape<typeof method.input>;
      const { message: response } = await transport.unary(
        method,
        signal,
        CALL_DEADLINE_MS,
        forwarded,
        request,
      );
      return response;
    },
    async reasonsNotReady() {
      const { checkReadiness: method } = PlatformService.method;
      const { message } = await transport.unary(
        method,
        undefined,
        READINESS_DEADLINE_MS,
        undefined,
        create(method.input),
      );
      if (message.ready) return [];
      return message.reasons.length > 0 ? message.reasons : ["Control is not ready."];
    },
  };
}
