import { describeDriver } from "./driver-contract.ts";
import { FakeDriverHost } from "./driver-host.ts";

describeDriver("the fake driver", { setUp: async () => new FakeDriverHost() });
