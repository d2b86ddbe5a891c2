import { describeDriver } from "./driver-contract.ts";
import { RealDriverHost } from "./driver-host.ts";
import { realServers } from "./server-contract.ts";

const setUp = () => RealDriverHost.open({ kind: "process", uidBase: 65_100_000 });

describeDriver("the process driver", { setUp }, realServers("process"));
