import { EventSchema } from "@aerodb/rpc/aerodb/control/v1/event_service_pb.js";
import { HostSchema } from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { describeHost, latelyOf, sectionsText } from "./host-description.ts";

const HOST = create(HostSchema, {
  hostId: "hst_1",
  name: "host-1",
  region: "eu-west-1",
  connected: true,
  agentVersion: "0.1.0",
  capacity: { memoryMib: 24_105n, cpuMillis: 2_000n, storageMib: 258_000n },
  reserved: { memoryMib: 512n, cpuMillis: 500n, storageMib: 102_400n },
  capabilities: ["reflink", "sandbox"],
  labels: { rack: "a1", disk: "nvme" },
  clockOffsetMs: -12,
  instances: 2,
  tenants: 9,
  fingerprint: {
    bootId: "b",
    memoryMib: 24_105n,
    ...{ cores: 2, processor: "AMD EPYC", architecture: "x64", kernel: "Linux 6.1.0" },
    operatingSystem: "Debian GNU/Linux 12 (bookworm)",
    driver: "process",
    foundEngines: [
      { version: "18.4", origin: "embedded", floor: "18.4", meetsFloor: true },
      { version: "17.9", origin: "system", floor: "17.10" },
      { version: "12.3", origin: "system" },
    ],
    fileSystems: [
      { holds: ["instances", "sockets"], type: "xfs", sizeMib: 258_000n, freeMib: 9_000n },
    ],
    controlGroups: { version: 2, controllers: ["cpu", "memory"] },
    namespaces: ["mount", "net"],
    sandbox: "unshare",
    volumeMeans: ["copy"],
  },
});

test("a host is described section by section", () => {
  expect(sectionsText(describeHost(HOST))).toBe(
    `
host-1 (hst_1)
  region             eu-west-1
  connected          yes
  agent              0.1.0
  labels             disk=nvme rack=a1
  clock              12 ms behind control's

Capacity
  memory             512 MiB of 23.5 GiB promised
  processor          0.5 of 2.0 cores promised
  storage            100.0 GiB promised, of 252.0 GiB there are
  instances          2, with 9 tenants

Machine
  operating system   Debian GNU/Linux 12 (bookworm)
  kernel             Linux 6.1.0
  processor          AMD EPYC, 2 cores, x64
  memory             23.5 GiB
  boot id            b
  docker             none
  runs instances as  processes

Engines
  18.4               embedded
  17.9               system, under the floor 17.10
  12.3               system, not supported

File systems
  xfs                instances, sockets: 9000 MiB of 252.0 GiB free

Walls and limits
  control groups     v2: cpu memory
  namespaces         mount net
  sandbox            unshare
  nftables           no
  storage limits     none that the kernel enforces
  clones by          copy

Capabilities
  reflink sandbox`.trimStart(),
  );
});

test("a host whose agent never dialled says so", () => {
  const host = create(HostSchema, { hostId: "hst_1", name: "host-1", region: "eu-west-1" });
  const text = sectionsText(describeHost(host));
  expect(text).toContain("no, last seen -");
  expect(text).toContain("Its agent has never dialled.");
});

test("what was found of it lately is shown, whatever was written there", () => {
  const event = create(EventSchema, {
    ...{ kind: "host.conflict", actor: "system", subject: "hst_1" },
    at: timestampFromDate(new Date("2026-03-04T05:06:07Z")),
    after: { kept: "10.0.0.1\u001b[2J" },
  });
  expect(sectionsText([latelyOf([event])])).toBe(
    "Lately\n  2026-03-04 05:06:07Z  host.conflict, by system: kept: 10.0.0.1\\x1b[2J",
  );
  expect(sectionsText([latelyOf([])])).toBe("Lately\n  none");
});
