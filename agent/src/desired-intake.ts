import type { InstanceId } from "@aerodb/model";
import { type DesiredState, DesiredStateSchema } from "@aerodb/rpc/aerodb/agent/v1/desired_pb.js";
import { failpoint, type Ledger, type Logger } from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import { decodeDesired, ledgerEntries, readLedgerEntries, type Subject } from "./desired.ts";
import type { HostState } from "./host-state.ts";

export interface IntakePorts {
  readonly ledger: Ledger;
  readonly state: HostState;
  /** Told of every subject that something new was said about. */
  readonly desired: (subject: Subject) => void;
  readonly logger: Logger;
}

/**
 * Takes desired state into the ledger first and acts on it then, so that a restart knows it too.
 */
export class DesiredIntake {
  readonly #ports: IntakePorts;

  constructor(ports: IntakePorts) {
    this.#ports = ports;
    ports.state.desire(readLedgerEntries(ports.ledger.entries()));
  }

  get generation(): bigint {
    return this.#ports.ledger.generation;
  }

  /** Takes in a whole message. Throws SUPERSEDED or INVALID_ARGUMENT and keeps nothing of it. */
  async take(message: DesiredState): Promise<void> {
    const { ledger, state, logger } = this.#ports;
    const desired = decodeDesired(message);
    const entries = ledgerEntries(message);
    if (message.whole) {
      const told = new Set(["instance", "tenant"]);
      const unlisted = ledger
        .takeWhole(message.generation, entries)
        .filter(({ kind }) => told.has(kind));
      if (unlisted.length > 0) {
        const count = unlisted.length;
        logger.warn({ count }, "control does not list what the ledger holds; it is left alone");
      }
    } else {
      ledger.takeChange(message.baseGeneration, message.generation, entries);
    }
    for (const instance of desired.instances) {
      if (instance.present && instance.kept) state.keep(instance.spec.id);
    }
    await failpoint("agent.ledger.taken");
    for (const subject of state.desire(desired)) this.#ports.desired(subject);
  }

  /**
   * Control does not know an instance any more, and an operator has confirmed that nobody does:
   * drops it with its tenants, whatever was said about it.
   */
  drop(id: InstanceId): void {
    const { ledger, state } = this.#ports;
    for (const tenantId of [...state.tenantsOf(id)]) {
      ledger.forget("tenant", tenantId);
      state.forget({ kind: "tenant", id: tenantId });
    }
    ledger.forget("instance", id);
    state.forget({ kind: "instance", id });
  }

  /** Control knows that a subject is gone: drops it, unless something newer was said about it. */
  forget(subject: Subject, generation: bigint): void {
    const { ledger, state } = this.#ports;
    const desired =
      subject.kind === "instance" ? state.instance(subject.id) : state.tenant(subject.id);
    if (desired === undefined || desired.present || desired.generation !== generation) return;
    ledger.forget(subject.kind, subject.id);
    state.forget(subject);
  }
}

/** Puts the parts of a generation together. Of a stream that breaks off, nothing is taken. */
export class PartCollector {
  #parts: DesiredState[] = [];

  /** The whole message, once its last part is there. */
  add(part: DesiredState): DesiredState | undefined {
    this.#parts.push(part);
    if (part.more) return undefined;
    const parts = this.#parts;
    this.#parts = [];
    return create(DesiredStateSchema, {
      generation: part.generation,
      whole: part.whole,
      baseGeneration: part.baseGeneration,
      instances: parts.flatMap(({ instances }) => instances),
      tenants: parts.flatMap(({ tenants }) => tenants),
      sharedTableChanges: parts.flatMap(({ sharedTableChanges }) => sharedTableChanges),
    });
  }
}
