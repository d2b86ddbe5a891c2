import type { AddressInfo } from "node:net";
import { createServer, type Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import { checkPorts, wantedPorts } from "./ports.ts";

let taken: Server | undefined;
afterEach(() => taken?.close());

test("a port that is taken is named with its flag and variable", async () => {
  const server = createServer();
  taken = server;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const wanted = [{ port, flag: "--pg-port", variable: "AERODB_PG_PORT" }];
  await expect(checkPorts(wanted)).rejects.toThrow(
    `Port ${port} is taken by another program: choose another with --pg-port or AERODB_PG_PORT.`,
  );
});

test("one port for two purposes is refused", async () => {
  const ports = wantedPorts({
    restPort: 28_511,
    grpcPort: 28_512,
    pgPort: 28_511,
    pgPooledPort: 8,
    linkPort: 9,
  });
  await expect(checkPorts(ports)).rejects.toThrow(
    "Port 28511 is given to both --rest-port and --pg-port.",
  );
});
