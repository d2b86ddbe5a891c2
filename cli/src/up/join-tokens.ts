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
  /** Whether a host that joined once was removed since: it has to join as another. */
  isRemoved(hostId: string): Promise<boolean>;
}

/** Plain HTTP: control takes it from this machine only. */
export function joinTokens(grpcPort: number, platformKey: string, signal: AbortSignal): JoinTokens {
  const transport = createConnectTransport({
    baseUrl: `http://127.0.0.1:${grpcPort}`,
    httpVersion: "1.1",
    defaultTimeoutMs: ASK_MS,
  });
  const hosts = createClient(HostService, transport);

  const headers = { authorization: `Bearer ${platformKey}` };

  async function insist<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    for (let failures = 1; ; failures += 1) {
      try {
        return await call();
      } catch (error) {
        const fault = asFault(error);
        if (fault.kind !== "unavailable" || failures >= TRIES) throw fault;
        await sleep(backoffMs(failures, RETRY), signal);
      }
    }
  }

  async function ask(wanted: {
    readonly kind: string;
    readonly region?: string;
    readonly rejoins?: string;
  }): Promise<string> {
    const request = { ...wanted, ttlSeconds: TTL_SECONDS };
    return (await insist(() => hosts.createJoinToken(request, { headers }))).joinToken;
  }

  return {
    make: (kind, region) => ask({ kind, region }),
    makeAgain: (kind, id) => ask({ kind, rejoins: id }),
    async isRemoved(host) {
      try {
        await insist(() => hosts.getHost({ host }, { headers }));
        return false;
      } catch (error) {
        if (error instanceof Fault && error.code === "HOST_NOT_FOUND") return true;
        throw error;
      }
    },
  };
}

/** No answer at all is control that died and is being started again. */
function asFault(error: unknown): Fault {
  const fault = error instanceof ConnectError ? faultFromConnectError(error) : undefined;
  if (fault !== undefined) return fault;
  const message = `Control does not answer: ${messageOf(error)}`;
  return new Fault("UNAVAILABLE", message, { cause: error });
}
