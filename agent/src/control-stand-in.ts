/** Control's end of the link, for tests: says what it is told to say, and keeps what it hears. */
import {
  DesiredInstanceSchema,
  DesiredTenantSchema,
  Presence,
  type DesiredInstance as WireInstance,
  type DesiredTenant as WireTenant,
} from "@aerodb/rpc/aerodb/agent/v1/desired_pb.js";
import {
  type ConnectRequest,
  type ConnectResponse,
  ConnectResponseSchema,
  LinkService,
} from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { within } from "@aerodb/runtime";
import { grpcService } from "@aerodb/wire";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Server, ServerCredentials, type ServerDuplexStream, status } from "@grpc/grpc-js";
import type { DesiredInstance, DesiredTenant } from "./desired.ts";

type Call = ServerDuplexStream<ConnectRequest, ConnectResponse>;
export type Heard = ConnectRequest["message"];

export class ControlStandIn {
  /** Every message of the agents, oldest first. */
  readonly heard: Heard[] = [];
  /** The code that streams are refused with; undefined: they are taken. */
  refusal: number | undefined;
  /** Whether another takes the place of every stream as soon as it was told what should be. */
  replaced = false;
  /** Streams that were opened. */
  dials = 0;
  readonly #server = new Server();
  readonly #wake = new Set<() => void>();
  #call: Call | undefined;

  async listen(credentials = ServerCredentials.createInsecure()): Promise<number> {
    this.#server.addService(grpcService(LinkService), {
      connect: (call: Call) => this.#accept(call),
    });
    return new Promise((resolve, reject) => {
      this.#server.bindAsync("127.0.0.1:0", credentials, (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }

  say(message: MessageInitShape<typeof ConnectResponseSchema>["message"]): void {
    if (message !== undefined) this.#call?.write(create(ConnectResponseSchema, { message }));
  }

  /** The first value that `look` finds in what was heard, now or later. */
  async hears<Value>(
    expecting: string,
    look: (heard: readonly Heard[]) => Value | undefined,
  ): Promise<Value> {
    const looking = async (): Promise<Value> => {
      for (;;) {
        const found = look(this.heard);
        if (found !== undefined) return found;
        await new Promise<void>((resolve) => this.#wake.add(resolve));
      }
    };
    return within({ ms: 20_000, expecting }, looking());
  }

  /** Ends the stream that is open. */
  hangUp(): void {
    this.#call?.end();
  }

  close(): void {
    this.#server.forceShutdown();
  }

  #accept(call: Call): void {
    this.dials += 1;
    if (this.refusal !== undefined) {
      call.emit("error", { code: this.refusal, details: "refused" });
      return;
    }
    this.#call = call;
    if (this.replaced) {
      this.say({ case: "desired", value: { whole: true } });
      call.emit("error", { code: status.ABORTED, details: "A newer stream took over." });
      return;
    }
    call.on("data", ({ message }: ConnectRequest) => {
      this.heard.push(message);
      for (const wake of this.#wake) wake();
      this.#wake.clear();
    });
    call.on("error", () => undefined);
    call.on("end", () => call.end());
  }
}

export function wireInstance(desired: DesiredInstance): WireInstance {
  const { spec, generation, present } = desired;
  return create(DesiredInstanceSchema, {
    ...spec,
    instanceId: spec.id,
    memoryMib: spec.memoryMiB,
    generation,
    presence: present ? Presence.PRESENT : Presence.ABSENT,
  });
}

export function wireTenant(desired: DesiredTenant): WireTenant {
  const { present, ...rest } = desired;
  const presence = present ? Presence.PRESENT : Presence.ABSENT;
  return create(DesiredTenantSchema, { ...rest, presence, extensions: [...rest.extensions] });
}

/** The newest that was heard about a tenant. */
export function tenantIn(heard: readonly Heard[], tenantId: string) {
  return reports(heard)
    .flatMap(({ tenants }) => tenants)
    .findLast((tenant) => tenant.tenantId === tenantId);
}

/** The newest that was heard about an instance. */
export function instanceIn(heard: readonly Heard[], instanceId: string) {
  return reports(heard)
    .flatMap(({ instances }) => instances)
    .findLast((instance) => instance.instanceId === instanceId);
}

export function reports(heard: readonly Heard[]) {
  return heard.flatMap((message) => (message.case === "observed" ? [message.value] : []));
}
