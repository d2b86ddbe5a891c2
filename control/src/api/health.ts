/**
 * gRPC health (grpc.health.v1). Every service serves when a tenant can be created, and none does
 * when not or while control stops.
 */
import {
  type Health,
  HealthCheckResponse_ServingStatus as STATUS,
  type HealthCheckResponse_ServingStatus as Status,
} from "@aerodb/rpc/grpc/health/v1/health_pb.js";
import { every, monotonicMs } from "@aerodb/runtime";
import type { DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";

/** Whether a tenant can be created now. Must not throw. */
export type ReadinessProbe = () => Promise<boolean>;

const LOOK_EVERY_MS = 1_000;
/** Many checks at once cost one look. */
const FRESH_MS = 100;

/** What is known of the health of the process, and who wants to hear of changes. */
export class HealthState {
  readonly #probe: ReadinessProbe;
  readonly #services: ReadonlySet<string>;
  readonly #watching = new Set<() => void>();
  #looking: Promise<Status> | undefined;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #stopping = false;

  constructor(probe: ReadinessProbe, services: readonly DescService[]) {
    this.#probe = probe;
    this.#services = new Set(["", ...services.map(({ typeName }) => typeName)]);
  }

  get services(): Iterable<string> {
    return this.#services;
  }

  knows(service: string): boolean {
    return this.#services.has(service);
  }

  async status(): Promise<Status> {
    if (this.#stopping) return STATUS.NOT_SERVING;
    if (this.#looking === undefined || monotonicMs() - this.#lookedAtMs > FRESH_MS) {
      this.#lookedAtMs = monotonicMs();
      this.#looking = this.#probe().then((ready) => (ready ? STATUS.SERVING : STATUS.NOT_SERVING));
    }
    const status = await this.#looking;
    return this.#stopping ? STATUS.NOT_SERVING : status;
  }

  /** From now on nothing serves; every watcher hears so and its stream ends. */
  stop(): void {
    this.#stopping = true;
    for (const look of this.#watching) look();
  }

  /** The status now and after every change, until the signal is aborted or the process stops. */
  async *watch(signal: AbortSignal): AsyncGenerator<Status> {
    let wake: () => void = () => undefined;
    const look = (): void => wake();
    const ended = new AbortController();
    this.#watching.add(look);
    signal.addEventListener("abort", look, { once: true });
    every(LOOK_EVERY_MS, look, ended.signal);
    try {
      let last: Status | undefined;
      while (!signal.aborted) {
        const woken = new Promise<void>((resolve) => {
          wake = resolve;
        });
        const status = await this.status();
        if (status !== last) yield status;
        last = status;
        if (this.#stopping) return;
        await woken;
      }
    } finally {
      ended.abort();
      signal.removeEventListener("abort", look);
      this.#watching.delete(look);
    }
  }
}

export function healthService(state: HealthState): ServiceImpl<typeof Health> {
  return {
    async check({ service }) {
      if (!state.knows(service)) throw new ConnectError(`no service ${service}`, Code.NotFound);
      return { status: await state.status() };
    },

    async list() {
      const status = await state.status();
      const services = [...state.services];
      return { statuses: Object.fromEntries(services.map((name) => [name, { status }])) };
    },

    async *watch({ service }, context) {
      if (!state.knows(service)) {
        yield { status: STATUS.SERVICE_UNKNOWN };
        return;
      }
      for await (const status of state.watch(context.signal)) yield { status };
    },
  };
}
