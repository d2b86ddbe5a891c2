/** Join tokens for the pieces that have no identity yet, from control on this machine. */
import { Fault, messageOf } from "@aerodb/model";
import { HostService } from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import { backoffMs, sleep } from "@aerodb/runtime";
import { faultFromConnectError } from "@aerodb/wire";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";

const TTL_SECONDS = 600;
const ASK_MS = 10_000;
const TRIES = 8;
const RETRY = { firstMs: 100, maxMs: 2_000 };

export interface JoinTokens {
  make(kind: "host" | "gateway", region: string): Promise<string>;
  /** For one that is known already, and whose certificate has expired. */
  makeAgain(kind: "host" | "gateway", id: string): Promise<string>;
}

/** Plain HTTP: control takes it from this machine only. */
export function joinTokens(grpcPort: number, platformKey: string, signal: AbortSignal): JoinTokens {
  const transport = createConnectTransport({
    baseUrl: `http://127.0.0.1:${grpcPort}`,
    httpVersion: "1.1",
    defaultTimeoutMs: ASK_MS,
  });
  const hosts = createClient(HostService, transport);

  async function ask(wanted: {
    readonly kind: string;
    readonly region?: string;
    readonly rejoins?: string;
  }): Promise<string> {
    for (let failures = 1; ; failures += 1) {
      try {
        const answer = await hosts.createJoinToken(
          { ...wanted, ttlSeconds: TTL_SECONDS },
          { headers: { authorization: `Bearer ${platformKey}` } },
        );
        return answer.joinToken;
      } catch (error) {
        const fault = asFault(error);
        if (fault.kind !== "unavailable" || failures >= TRIES) throw fault;
        await sleep(backoffMs(failures, RETRY), signal);
      }
    }
  }

  return {
    make: (kind, region) => ask({ kind, region }),
    makeAgain: (kind, id) => ask({ kind, rejoins: id }),
  };
}

/** No answer at all is control that died and is being started again. */
function asFault(error: unknown): Fault {
  const fault = error instanceof ConnectError ? faultFromConnectError(error) : undefined;
  if (fault !== undefined) return fault;
  const message = `Control gives no join token: ${messageOf(error)}`;
  return new Fault("UNAVAILABLE", message, { cause: error });
}
