/** An agent with a real identity and no Postgres: whatever should be, it says is there at once. */
import { channelCredentials, ensureIdentity, type Identity } from "@aerodb/identity";
import {
  type DesiredInstance,
  type DesiredState,
  Presence,
} from "@aerodb/rpc/aerodb/agent/v1/desired_pb.js";
import {
  type ConnectRequest,
  ConnectRequestSchema,
  type ConnectResponse,
  LinkService,
  type RelationRequest,
  type TrialRequest,
} from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { InstanceState, TenantState } from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { now } from "@aerodb/runtime";
import { encodeTime, GRPC_OPTIONS, openStream } from "@aerodb/wire";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Client } from "@grpc/grpc-js";

export interface FakeAgent {
  readonly identity: Identity;
  /** While false, it hears what should be and does nothing. */
  obeys: boolean;
  close(): void;
}

const GIBIBYTE = 1_073_741_824n;
const HELLO = {
  agentVersion: "0.1.0",
  edgeAddress: "127.0.0.1:1",
  fingerprint: {
    bootId: "boot-of-a-fake",
    memoryBytes: 8n * GIBIBYTE,
    cores: 4,
    diskBytes: 100n * GIBIBYTE,
    engines: ["18.4"],
    kernel: "Linux 6.1.0",
    foundEngines: [{ version: "18.4", origin: "embedded", floor: "18.4", meetsFloor: true }],
    fileSystems: [
      {
        ...{ holds: ["instances"], type: "xfs", reflink: true },
        ...{ sizeBytes: 100n * GIBIBYTE, freeBytes: 50n * GIBIBYTE },
      },
    ],
    capabilities: ["reflink"],
  },
};

export async function startFakeAgent(options: {
  readonly directory: string;
  readonly apiAddress: string;
  readonly joinToken: string;
  readonly name: string;
}): Promise<FakeAgent> {
  const signal = AbortSignal.timeout(20_000);
  const identity = await ensureIdentity({ ...options, kind: "host", signal });
  const client = new Client(
    identity.linkAddress,
    channelCredentials(identity, { kind: "control" }),
    GRPC_OPTIONS,
  );
  const stream = openStream(client, LinkService.method.connect);
  const agent = {
    identity,
    obeys: true,
    close() {
      stream.cancel();
      client.close();
    },
  };
  const waiting: DesiredState[] = [];
  const instances = new SharedInstances();
  let sequence = 0n;
  function send(message: MessageInitShape<typeof ConnectRequestSchema>): void {
    stream.write(create(ConnectRequestSchema, message) satisfies ConnectRequest);
  }
  function obey(): void {
    if (!agent.obeys) return;
    for (const desired of waiting.splice(0)) {
      sequence += 1n;
      const value = { sequence, ...observed(instances.take(desired), instances.newestChange) };
      send({ message: { case: "observed", value } });
    }
  }
  stream.on("data", ({ message }: ConnectResponse) => {
    if (message.case === "desired") waiting.push(message.value);
    if (message.case === "audit") {
      send({ message: { case: "audit", value: { auditId: message.value.auditId } } });
    }
    if (message.case === "log") {
      const { logId, instanceId, cursor } = message.value;
      const text = `log of ${instanceId} after ${cursor || "nothing"}\n`;
      send({ message: { case: "log", value: { logId, text, cursor: "42" } } });
    }
    if (message.case === "trial") {
      send({ message: { case: "trial", value: tried(message.value, instances.ids) } });
    }
    if (message.case === "relations") {
      send({ message: { case: "relations", value: sized(message.value) } });
    }
    if (message.case === "proof") {
      const { proofId, tenantId } = message.value;
      const rules = [{ id: "role.present", checked: 1, held: 1 }];
      const proof = { tenantId, provenAt: encodeTime(now()), engine: "18.4", rules };
      send({ message: { case: "proof", value: { proofId, proof } } });
    }
    if (message.case === "sweep") {
      const { sweepId, instanceIds, paths } = message.value;
      const kept = { kept: paths.map(() => "It is in use."), keptSubjects: paths };
      send({ message: { case: "sweep", value: { sweepId, removed: instanceIds, ...kept } } });
    }
    obey();
  });
  // Control that stops ends the stream; the test that stopped it knows.
  stream.on("error", () => undefined);
  send({ message: { case: "hello", value: HELLO } });
  return agent;
}

/** Shared instances have every change of shared tables at once, and say so. */
class SharedInstances {
  newestChange = 0;
  readonly #held = new Map<string, DesiredInstance>();

  get ids(): string[] {
    return [...this.#held.keys()];
  }

  take(desired: DesiredState): DesiredState {
    for (const each of desired.instances) if (each.shared) this.#held.set(each.instanceId, each);
    this.newestChange = desired.sharedTableChanges.at(-1)?.number ?? this.newestChange;
    return { ...desired, instances: [...new Set([...desired.instances, ...this.#held.values()])] };
  }
}

function sized({ relationsId, tenantId: schema }: RelationRequest) {
  return { relationsId, relations: [{ schema, name: "notes", kind: "table", bytes: 8_192n }] };
}

function tried({ trialId, sql }: TrialRequest, instanceIds: string[]) {
  const wrong = { refusal: "It is wrong.", sqlState: "42601", line: 2 };
  return { trialId, instanceIds, ...(sql === "wrong" ? wrong : {}) };
}

function observed(desired: DesiredState, newestChange: number) {
  return {
    instances: desired.instances.map(({ instanceId, generation, presence }) => ({
      instanceId,
      generation,
      state: presence === Presence.ABSENT ? InstanceState.ABSENT : InstanceState.RUNNING,
      socketDirectory: `/run/${instanceId}`,
      database: "aerodb",
      engine: "18.4",
      systemIdentifier: 7n,
      sharedTableChanges: newestChange,
    })),
    tenants: desired.tenants.map(({ tenantId, generation, presence, suspended }) => ({
      tenantId,
      generation,
      state: presence === Presence.ABSENT ? TenantState.ABSENT : presentState(suspended),
    })),
  };
}

function presentState(suspended: boolean): TenantState {
  return suspended ? TenantState.SUSPENDED : TenantState.READY;
}
