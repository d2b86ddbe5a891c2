/**
 * Which processes dial as agents of a host. One that comes back after another was there in between
 * shows that both live with one identity, as when a home was copied: who was first holds the data
 * and is kept, and the others are refused. Known in this process only: with several controls each
 * learns of a conflict by itself, and a restart of control begins anew.
 */
import { Fault, type HostId } from "@aerodb/model";
import { monotonicMs } from "@aerodb/runtime";
import type { AgentProcess, HostConflict } from "../app/fleet.ts";

interface Known {
  /** Those that were let in, the first of them first; the last is the one that is let in now. */
  admitted: readonly AgentProcess[];
  readonly refused: Set<string>;
  /** What is not in the catalogue yet. */
  untold: HostConflict | undefined;
  /** When the stream of the one that is let in ended. */
  leftAtMs: number;
}

/** How many that were let in and refused are remembered for each host. */
const MOST_KNOWN = 16;

export class AgentProcesses {
  readonly #restMs: number;
  readonly #hosts = new Map<HostId, Known>();

  /**
   * @param restMs How long those that were refused are still refused when who was kept is gone.
   */
  constructor(restMs: number) {
    this.#restMs = restMs;
  }

  /**
   * Lets a process in in the place of any other, and gives the conflict of its host that is not in
   * the catalogue yet, if there is one. Throws HOST_CONNECTED when it was refused and may not come
   * back. Whether one of the host is connected is for the caller to know.
   */
  admit(
    hostId: HostId,
    process: AgentProcess,
    options: { readonly connected: boolean },
  ): HostConflict | undefined {
    if (process.id === "") return undefined;
    const known = this.#knownOf(hostId);
    const newest = known.admitted.at(-1);
    if (newest !== undefined && known.refused.has(process.id)) {
      const rests = monotonicMs() - known.leftAtMs < this.#restMs;
      if (options.connected || rests) throw conflicting(hostId, newest);
      known.refused.delete(process.id);
    }
    const before = known.admitted.findIndex(({ id }) => id === process.id);
    if (before === -1) {
      known.admitted = [...known.admitted, process].slice(-MOST_KNOWN);
      return known.untold;
    }
    for (const { id } of known.admitted.slice(before + 1)) forget(known.refused.add(id));
    if (newest !== undefined && newest.id !== process.id) {
      known.untold = { kept: process, refused: newest };
    }
    known.admitted = [...known.admitted.slice(0, before), process];
    return known.untold;
  }

  /** The conflict of a host is in the catalogue. */
  told(hostId: HostId, conflict: HostConflict): void {
    const known = this.#hosts.get(hostId);
    if (known?.untold === conflict) known.untold = undefined;
  }

  /** The stream of the process that was let in ended. */
  left(hostId: HostId): void {
    const known = this.#hosts.get(hostId);
    if (known !== undefined) known.leftAtMs = monotonicMs();
  }

  #knownOf(hostId: HostId): Known {
    const known = this.#hosts.get(hostId) ?? {
      admitted: [],
      refused: new Set<string>(),
      untold: undefined,
      leftAtMs: monotonicMs(),
    };
    this.#hosts.set(hostId, known);
    return known;
  }
}

/** Why an agent is refused, and what to do. */
export function conflicting(hostId: HostId, kept: AgentProcess): Fault {
  const other = `another agent runs with the identity of host ${hostId}, at ${kept.address}`;
  const advice = "Stop one of them; a machine that was copied joins as a host of its own";
  return new Fault("HOST_CONNECTED", `Refused: ${other}. ${advice}.`, {
    details: { host_id: hostId, address: kept.address, edge_address: kept.edgeAddress },
  });
}

function forget(refused: Set<string>): void {
  for (const id of refused) {
    if (refused.size <= MOST_KNOWN) return;
    refused.delete(id);
  }
}
