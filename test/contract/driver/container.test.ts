import { containerFaults } from "./container-faults.ts";
import { describeDriver } from "./driver-contract.ts";
import { RealDriverHost } from "./driver-host.ts";
import { realServers } from "./server-contract.ts";
import { dockerMissing, ThrowawayDocker } from "./throwaway-docker.ts";

let docker: ThrowawayDocker;

async function setUp(): Promise<RealDriverHost> {
  docker = await ThrowawayDocker.start();
  const { socketPath: dockerSocket } = docker;
  return RealDriverHost.open({ kind: "container", uidBase: 65_200_000, dockerSocket });
}

const tearDown = () => docker.close();
const missing = dockerMissing();

describeDriver("the container driver", { setUp, tearDown, missing }, (host) => {
  realServers("container")(host);
  containerFaults({ host, docker: () => docker });
});
