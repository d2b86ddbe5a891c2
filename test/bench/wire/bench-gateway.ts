/** The gateway as a process of its own, so that what it uses can be told from what others use. */
import { join } from "node:path";
import { saveIdentity } from "@aerodb/identity";
import type { ThrowawayPlatform } from "../../../gateway/src/throwaway-platform.ts";
import { type Piece, startPiece } from "../../piece-process.ts";
import { POOL_CONNECTIONS } from "./peers.ts";

/** Starts a gateway of the platform, and waits for it. */
export async function startBenchGateway(platform: ThrowawayPlatform): Promise<Piece> {
  const home = join(platform.directory, "gateway");
  saveIdentity(home, { ...platform.identity, linkAddress: `127.0.0.1:${platform.control.port}` });
  const piece = startPiece("gateway", {
    AERODB_GATEWAY_HOME: home,
    AERODB_GATEWAY_API_ADDRESS: "127.0.0.1:1",
    AERODB_GATEWAY_REST_PORT: "0",
    AERODB_GATEWAY_PG_PORT: "0",
    AERODB_GATEWAY_PG_POOLED_PORT: "0",
    AERODB_GATEWAY_POOL_SIZE: `${POOL_CONNECTIONS}`,
    // What a gateway bears is measured, and not where it is told to stop.
    AERODB_GATEWAY_POOL_CLIENTS: "100000",
    AERODB_GATEWAY_RATE_PER_SOURCE: "0",
    AERODB_GATEWAY_RATE_PER_TENANT: "0",
    AERODB_GATEWAY_LOG_LEVEL: "warn",
  });
  await piece.ready;
  return piece;
}
