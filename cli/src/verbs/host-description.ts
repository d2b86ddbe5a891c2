/** What is known of one host, in sections for people to read. */
import type { Event } from "@aerodb/rpc/aerodb/control/v1/event_service_pb.js";
import type {
  HostEngine,
  HostFileSystem,
  HostFingerprint,
} from "@aerodb/rpc/aerodb/control/v1/fingerprint_pb.js";
import type { Host } from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import { timeText } from "../output.ts";
import { terminalText } from "../terminal-text.ts";
import { changeText } from "./events.ts";

/** A title and lines, each of a name and what there is to say; a name may be empty. */
export interface Section {
  readonly title: string;
  readonly lines: readonly (readonly [string, string])[];
}

export function describeHost(host: Host): readonly Section[] {
  const { fingerprint } = host;
  const sections = [identityOf(host), capacityOf(host)];
  if (fingerprint === undefined) {
    return [...sections, { title: "Machine", lines: [["", "Its agent has never dialled."]] }];
  }
  return [
    ...sections,
    machineOf(fingerprint),
    { title: "Engines", lines: orNone(fingerprint.foundEngines.map(engineLine)) },
    { title: "File systems", lines: orNone(fingerprint.fileSystems.map(fileSystemLine)) },
    wallsOf(fingerprint),
    { title: "Capabilities", lines: [["", host.capabilities.join(" ") || "none"]] },
  ];
}

/** What was found of it or changed lately, such as that a second agent ran with its identity. */
export function latelyOf(events: readonly Event[]): Section {
  const lines = events.map((event): [string, string] => [
    timeText(event.at),
    `${event.kind}, by ${event.actor}: ${changeText(event)}`,
  ]);
  return { title: "Lately", lines: orNone(lines) };
}

/** Sections as text, the names of all of them equally wide. */
export function sectionsText(sections: readonly Section[]): string {
  const widths = sections.flatMap(({ lines }) => lines.map(([name]) => name.length));
  const width = Math.max(0, ...widths);
  return sections
    .map(({ title, lines }) => {
      const texts = lines.map(([name, said]) => {
        const shown = terminalText(said);
        return name === "" ? `  ${shown}` : `  ${name.padEnd(width)}  ${shown}`;
      });
      return [title, ...texts].join("\n");
    })
    .join("\n\n");
}

function identityOf(host: Host): Section {
  const labels = Object.entries(host.labels).map(([name, value]) => `${name}=${value}`);
  return {
    title: `${host.name} (${host.hostId})`,
    lines: [
      ["region", host.region],
      ["connected", host.connected ? "yes" : `no, last seen ${timeText(host.lastSeenAt)}`],
      ...(host.revokedAt === undefined ? [] : [revokedLine(host)]),
      ["agent", host.agentVersion || "-"],
      ["labels", labels.sort().join(" ") || "-"],
      ["clock", clockText(host.clockOffsetMs)],
    ],
  };
}

function revokedLine({ revokedAt, revokedReason }: Host): readonly [string, string] {
  return ["revoked", `${timeText(revokedAt)} ${revokedReason}`.trim()];
}

function clockText(offsetMs: number | undefined): string {
  if (offsetMs === undefined) return "-";
  if (offsetMs === 0) return "as control's";
  return `${Math.abs(offsetMs)} ms ${offsetMs > 0 ? "ahead of" : "behind"} control's`;
}

function capacityOf({ capacity, reserved, instances, tenants }: Host): Section {
  const [memory, cpu, storage] = [
    `${mib(reserved?.memoryMib)} of ${mib(capacity?.memoryMib)} promised`,
    `${cores(reserved?.cpuMillis)} of ${cores(capacity?.cpuMillis)} cores promised`,
    `${mib(reserved?.storageMib)} promised, of ${mib(capacity?.storageMib)} there are`,
  ];
  return {
    title: "Capacity",
    lines: [
      ["memory", memory],
      ["processor", cpu],
      ["storage", storage],
      ["instances", `${instances}, with ${tenants} tenants`],
    ],
  };
}

function machineOf(fingerprint: HostFingerprint): Section {
  const { operatingSystem, kernel, processor, architecture, docker } = fingerprint;
  return {
    title: "Machine",
    lines: [
      ["operating system", operatingSystem || "-"],
      ["kernel", kernel || "-"],
      ["processor", `${processor || "unknown"}, ${fingerprint.cores} cores, ${architecture}`],
      ["memory", mib(fingerprint.memoryMib)],
      ["boot id", fingerprint.bootId],
      ["docker", docker ? `${docker.version} (API ${docker.apiVersion})` : "none"],
      ["runs instances as", fingerprint.driver === "container" ? "containers" : "processes"],
    ],
  };
}

function engineLine({ version, origin, floor, meetsFloor }: HostEngine): readonly [string, string] {
  const kept = floor === "" ? "not supported" : `under the floor ${floor}`;
  return [version, meetsFloor ? origin : `${origin}, ${kept}`];
}

function fileSystemLine(fileSystem: HostFileSystem): readonly [string, string] {
  const { type, holds, freeMib, sizeMib, reflink } = fileSystem;
  const free = `${mib(freeMib)} of ${mib(sizeMib)} free`;
  return [type, `${holds.join(", ")}: ${free}${reflink ? ", shares blocks" : ""}`];
}

function wallsOf(fingerprint: HostFingerprint): Section {
  const { controlGroups, namespaces, volumeMeans, hardLimits } = fingerprint;
  const groups =
    controlGroups && `v${controlGroups.version}: ${controlGroups.controllers.join(" ")}`;
  return {
    title: "Walls and limits",
    lines: [
      ["control groups", groups ?? "none"],
      ["namespaces", namespaces.join(" ") || "none"],
      ["sandbox", fingerprint.sandbox || "-"],
      ["nftables", fingerprint.nftables ? "yes" : "no"],
      ["storage limits", hardLimits.join(" ") || "none that the kernel enforces"],
      ["clones by", volumeMeans.join(" ") || "-"],
    ],
  };
}

function orNone(lines: readonly (readonly [string, string])[]): Section["lines"] {
  return lines.length === 0 ? [["", "none"]] : lines;
}

function mib(amount: bigint | undefined): string {
  const size = Number(amount ?? 0n);
  return size >= 10_240 ? `${(size / 1_024).toFixed(1)} GiB` : `${size} MiB`;
}

function cores(millis: bigint | undefined): string {
  return (Number(millis ?? 0n) / 1_000).toFixed(1);
}
