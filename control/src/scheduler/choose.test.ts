import type { HostId, InstanceId } from "@aerodb/model";
import { expect, test } from "vitest";
import type { Ask, HostView, SharedInstanceView } from "./ask.ts";
import { chooseHost, chooseSharedInstance } from "./choose.ts";

const ask: Ask = {
  isolation: "database",
  memoryMiB: 128,
  cpuMillis: 100,
  storageMiB: 1024,
  requiredCapabilities: [],
};

function host(id: string, over: Partial<HostView> = {}): HostView {
  return {
    id: id as HostId,
    name: `host-${id}`,
    connected: true,
    cordoned: false,
    capacityMemoryMiB: 1024,
    capacityCpuMillis: 2000,
    reservedMemoryMiB: 0,
    reservedCpuMillis: 0,
    engines: ["18.4"],
    enginesUnderFloor: [],
    capabilities: [],
    storageMiB: 102_400,
    freeStorageMiB: 51_200,
    ...over,
  };
}

function shared(id: string, over: Partial<SharedInstanceView> = {}): SharedInstanceView {
  return {
    id: id as InstanceId,
    hostId: "a" as HostId,
    running: true,
    tenantCount: 0,
    maxTenants: 10,
    ...over,
  };
}

test("the least filled host is chosen, with its newest engine and a reason", () => {
  const hosts = [host("a", { reservedMemoryMiB: 512 }), host("b", { engines: ["17.10", "18.4"] })];
  expect(chooseHost(hosts, ask)).toMatchObject({
    kind: "chosen",
    host: { id: "b" },
    engineMajor: 18,
    reason: "Least filled of 2 feasible among 2 hosts: 13 % of it would be promised.",
  });
});

test("a newer engine wins over an emptier host, and ties go to the smaller id", () => {
  const older = host("a", { engines: ["17.10"] });
  expect(chooseHost([older, host("b", { reservedMemoryMiB: 512 })], ask)).toMatchObject({
    host: { id: "b" },
  });
  expect(chooseHost([host("c"), host("b")], ask)).toMatchObject({ host: { id: "b" } });
});

test("a refusal says how many hosts were refused for what, the most frequent first", () => {
  const hosts = [
    host("a", { connected: false }),
    host("b", { reservedMemoryMiB: 1000 }),
    host("c", { reservedMemoryMiB: 900 }),
  ];
  const choice = chooseHost(hosts, ask);
  expect(choice).toMatchObject({
    kind: "refused",
    summary: "3 hosts: 2 full (memory), 1 not connected",
  });
  expect(choice.kind === "refused" && choice.hosts[1]).toEqual({
    hostId: "b",
    name: "host-b",
    refusal: {
      short: "full (memory)",
      sentence: "It has 24 MiB of memory left; 128 are asked for.",
    },
  });
});

test("each other reason to refuse a host is named", () => {
  const hosts = [
    host("a", { cordoned: true }),
    host("b", { engines: [] }),
    host("c", { reservedCpuMillis: 19_950 }),
  ];
  expect(chooseHost(hosts, ask)).toMatchObject({
    summary: "3 hosts: 1 cordoned, 1 no engine, 1 full (processor)",
  });
  expect(chooseHost([], ask)).toMatchObject({ summary: "There is no host in the region" });
});

test("in production an engine under its floor is told from one that is not there", () => {
  const old = host("a", { engines: [], enginesUnderFloor: ["18.3 (floor 18.4)"] });
  const choice = chooseHost([old], ask);
  expect(choice).toMatchObject({ summary: "1 host: 1 engine under floor" });
  expect(choice.kind === "refused" && choice.hosts[0]?.refusal.sentence).toContain(
    "18.3 (floor 18.4). Install a newer minor version",
  );
});

test("a host that cannot do what the plan requires is refused, and says what is missing", () => {
  const walled = { ...ask, requiredCapabilities: ["sandbox", "network_wall"] };
  const hosts = [host("a", { capabilities: ["sandbox"] }), host("b")];
  const choice = chooseHost(hosts, walled);
  expect(choice).toMatchObject({
    summary: "2 hosts: 1 without network_wall, 1 without sandbox and network_wall",
  });
  const able = host("c", { capabilities: ["network_wall", "reflink", "sandbox"] });
  expect(chooseHost([...hosts, able], walled)).toMatchObject({ host: { id: "c" } });
});

test("a disk keeps a reserve for what is on it, whatever was promised", () => {
  const tight = host("a", { storageMiB: 102_400, freeStorageMiB: 2_048 + 63 });
  const choice = chooseHost([tight], ask);
  expect(choice).toMatchObject({ summary: "1 host: 1 full (disk)" });
  expect(choice.kind === "refused" && choice.hosts[0]?.refusal.sentence).toBe(
    "It has 2111 MiB of its disk left, and 2048 are kept for what it has already.",
  );
  const enough = host("a", { storageMiB: 102_400, freeStorageMiB: 2_048 + 64 });
  const endless = { ...ask, storageMiB: 1_000_000 };
  expect(chooseHost([enough], endless)).toMatchObject({ kind: "chosen" });
  expect(chooseHost([host("a", { storageMiB: null, freeStorageMiB: null })], ask)).toMatchObject({
    kind: "chosen",
  });
});

test("among equally filled hosts the better equipped is chosen, and the placement says so", () => {
  const limited = { capabilities: ["hard_storage_limit"], reservedMemoryMiB: 20 };
  const cloning = { capabilities: ["reflink"] };
  const hosts = [host("a"), host("b", cloning), host("c", limited)];
  expect(chooseHost(hosts, ask)).toMatchObject({
    host: { id: "c" },
    reason: expect.stringMatching(/^Best equipped of the least filled of 3 .* 14 % of it would/),
  });
  expect(chooseHost(hosts, { ...ask, storageMiB: 0 })).toMatchObject({ host: { id: "b" } });
  const filled = [host("a"), host("b", { ...cloning, reservedMemoryMiB: 100 })];
  expect(chooseHost(filled, ask)).toMatchObject({ host: { id: "a" } });
});

test("a shared instance on a host that lacks what the plan requires takes no tenant of it", () => {
  const hosts = [host("a"), host("b", { capabilities: ["sandbox"] })];
  const instances = [shared("bare"), shared("walled", { hostId: "b" as HostId, tenantCount: 9 })];
  expect(chooseSharedInstance(instances, hosts, ["sandbox"])?.id).toBe("walled");
  expect(chooseSharedInstance(instances, hosts)?.id).toBe("bare");
  const full = [host("a", { freeStorageMiB: 2_047 }), ...hosts.slice(1)];
  expect(chooseSharedInstance(instances, full)?.id).toBe("walled");
});

test("no host is feasible for a cluster, and the reason is the version's", () => {
  const choice = chooseHost([host("a")], { ...ask, isolation: "cluster" });
  expect(choice).toMatchObject({ kind: "refused", summary: "1 host: 1 no cluster placement" });
});

test("a running shared instance with the fewest tenants takes the next one", () => {
  const hosts = [host("a"), host("down", { connected: false })];
  const instances = [
    shared("unstarted", { running: false }),
    shared("fuller", { tenantCount: 5 }),
    shared("emptier", { tenantCount: 3 }),
    shared("full", { tenantCount: 10 }),
    shared("away", { hostId: "down" as HostId }),
  ];
  expect(chooseSharedInstance(instances, hosts)?.id).toBe("emptier");
  expect(chooseSharedInstance(instances.slice(3), hosts)).toBeUndefined();
  expect(chooseSharedInstance(instances.slice(0, 1), hosts)?.id).toBe("unstarted");
});
