/** Whether the ports are free, asked before anything is started. */
import { createServer } from "node:net";
import { Fault } from "@aerodb/model";

export interface WantedPort {
  readonly port: number;
  readonly flag: string;
  readonly variable: string;
}

export function wantedPorts(settings: {
  readonly restPort: number;
  readonly grpcPort: number;
  readonly pgPort: number;
  readonly pgPooledPort: number;
  readonly linkPort: number;
}): readonly WantedPort[] {
  return [
    { port: settings.restPort, flag: "--rest-port", variable: "AERODB_REST_PORT" },
    { port: settings.grpcPort, flag: "--grpc-port", variable: "AERODB_GRPC_PORT" },
    { port: settings.pgPort, flag: "--pg-port", variable: "AERODB_PG_PORT" },
    pooledPort(settings),
    { port: settings.linkPort, flag: "--link-port", variable: "AERODB_LINK_PORT" },
  ];
}

function pooledPort({ pgPooledPort: port }: { readonly pgPooledPort: number }): WantedPort {
  return { port, flag: "--pg-pooled-port", variable: "AERODB_PG_POOLED_PORT" };
}

/** Refuses with one sentence when a port is taken, forbidden or wanted twice. */
export async function checkPorts(ports: readonly WantedPort[]): Promise<void> {
  for (const [index, wanted] of ports.entries()) {
    const twin = ports.slice(0, index).find(({ port }) => port === wanted.port);
    if (twin !== undefined) {
      const both = `${twin.flag} and ${wanted.flag}`;
      throw new Fault("INVALID_ARGUMENT", `Port ${wanted.port} is given to both ${both}.`);
    }
    const problem = await tryPort(wanted.port);
    if (problem !== undefined) throw new Fault("UNAVAILABLE", sentence(wanted, problem));
  }
}

function sentence({ port, flag, variable }: WantedPort, problem: string): string {
  const choose = `choose another with ${flag} or ${variable}`;
  if (problem === "EADDRINUSE") return `Port ${port} is taken by another program: ${choose}.`;
  if (problem === "EACCES") return `Port ${port} is not allowed for this user: ${choose}.`;
  return `Port ${port} cannot be opened (${problem}): ${choose}.`;
}

/** Why a port cannot be listened on; undefined when it can. */
function tryPort(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      server.close(() => resolve(undefined));
    });
  });
}
