/**
 * The real control process over a real catalogue, with a fake agent, and a real gateway before it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startThrowawayPostgres } from "@aerodb/testkit";
import { startPiece } from "../piece-process.ts";
import { type Ended, REPOSITORY, run } from "../program.ts";
import { until } from "../until.ts";
import { type FakeAgent, startFakeAgent } from "./fake-agent.ts";

export const PLATFORM_KEY = "adb_key_of_the_contract_test_0123456789";

export interface ServedControl {
  readonly apiPort: number;
  readonly restPort: number;
  readonly agent: FakeAgent;
  /** All that control has logged. */
  readonly log: () => string;
  /** Calls an RPC as Connect JSON with the platform key. */
  readonly ask: (rpc: string, message: object) => Promise<Response>;
  /** Lets a host join, and its agent connect. */
  readonly addAgent: (name: string) => Promise<FakeAgent>;
  /** Starts a second control on the ports of the first; resolves with how it ended. */
  readonly startAnother: () => Promise<Ended>;
  /** Asks control to end, and resolves with its exit code. */
  readonly stopControl: () => Promise<number | null>;
  close(): Promise<void>;
}

export async function serveControl(): Promise<ServedControl> {
  const catalogue = await startThrowawayPostgres();
  const home = mkdtempSync(join(tmpdir(), "aerodb-contract-"));
  const settings = {
    AERODB_CONTROL_CATALOGUE_URL: catalogue.url("postgres"),
    AERODB_CONTROL_HOME: join(home, "control"),
    AERODB_CONTROL_API_PORT: "0",
    AERODB_CONTROL_LINK_PORT: "0",
    AERODB_CONTROL_PLATFORM_KEY: PLATFORM_KEY,
    AERODB_CONTROL_LOG_LEVEL: "debug",
    AERODB_CONTROL_BASE_DOMAIN: "example.com",
  };
  const control = startPiece("control", settings);
  const { apiPort = 0 } = await control.ready;
  const apiAddress = `127.0.0.1:${apiPort}`;

  const ask = (rpc: string, message: object): Promise<Response> =>
    fetch(`http://${apiAddress}/aerodb.control.v1.${rpc}`, {
      method: "POST",
      headers: { authorization: `Bearer ${PLATFORM_KEY}`, "content-type": "application/json" },
      body: JSON.stringify(message),
    });
  async function joinToken(kind: string, region: string): Promise<string> {
    const response = await ask("HostService/CreateJoinToken", { kind, region });
    return ((await response.json()) as { readonly joinToken: string }).joinToken;
  }

  async function addAgent(name: string): Promise<FakeAgent> {
    return startFakeAgent({
      ...{ directory: join(home, name), apiAddress, name },
      joinToken: await joinToken("host", "us-east-1"),
    });
  }

  const agent = await addAgent("host-1");
  const gateway = startPiece("gateway", {
    AERODB_GATEWAY_HOME: join(home, "gateway"),
    AERODB_GATEWAY_API_ADDRESS: apiAddress,
    AERODB_GATEWAY_JOIN_TOKEN: await joinToken("gateway", ""),
    AERODB_GATEWAY_REST_PORT: "0",
    AERODB_GATEWAY_PG_PORT: "0",
    AERODB_GATEWAY_PG_POOLED_PORT: "0",
  });
  const { restPort = 0 } = await gateway.ready;
  await until("a tenant to be creatable", async () => {
    const response = await ask("PlatformService/CheckReadiness", {});
    return ((await response.json()) as { readonly ready?: boolean }).ready === true;
  });
  return {
    ...{ apiPort, restPort, agent, addAgent, ask },
    log: control.output,
    startAnother: () =>
      run(process.execPath, [`${REPOSITORY}/control/src/main.ts`], {
        environment: { ...settings, AERODB_CONTROL_API_PORT: String(apiPort) },
      }),
    stopControl: control.stop,
    async close() {
      agent.close();
      await Promise.all([control.stop(), gateway.stop()]);
      await catalogue.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
