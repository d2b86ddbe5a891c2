/**
 * Shows metrics to a collector that comes by: OpenMetrics over HTTP. It knows no keys, so it
 * listens on loopback unless told otherwise.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Fault } from "@aerodb/model";

export interface MetricsServerOptions {
  readonly port: number;
  readonly listenAddress: string;
  /** Variable of the environment that chooses the port. */
  readonly variable: string;
  readonly contentType: string;
  /** All metrics, anew for each collector. */
  readonly render: () => Promise<string>;
}

export interface MetricsServer {
  readonly port: number;
  close(): void;
}

/** A collector that sends nothing holds no connection for longer. */
const REQUEST_MS = 5_000;

const METHODS: readonly (string | undefined)[] = ["GET", "HEAD"];

/** Answers `GET /metrics`, and `HEAD` of it. Throws UNAVAILABLE when the port cannot be had. */
export async function serveMetrics(options: MetricsServerOptions): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    if (!METHODS.includes(request.method) || request.url?.split("?", 1)[0] !== "/metrics") {
      response.writeHead(404).end("Metrics are at /metrics.\n");
      return;
    }
    options.render().then(
      (text) => response.writeHead(200, { "content-type": options.contentType }).end(text),
      (error: unknown) => response.destroy(error instanceof Error ? error : undefined),
    );
  });
  server.requestTimeout = REQUEST_MS;
  server.headersTimeout = REQUEST_MS;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(options.port, options.listenAddress, resolve);
  try {
    await promise;
  } catch (error) {
    const where = `Port ${options.port} on ${options.listenAddress}`;
    const advice = `choose another with ${options.variable}`;
    throw new Fault("UNAVAILABLE", `${where} cannot be listened on: ${advice}.`, { cause: error });
  }
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
