/**
 * What each tenant's connections carried. Counted in memory, and turned every minute into usage
 * events that wait on disk until control has taken them in.
 */
import { type UsageEvent, UsageEventSchema } from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { deadlineIn, monotonicMs, now, Spool } from "@aerodb/runtime";
import { encodeTime } from "@aerodb/wire";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";

const SECOND_MS = 1_000;

/** Meters of which the readings add up. */
export type CountedMeter = Exclude<Meter, "connections_peak">;

type Meter =
  | "connections_opened"
  | "connections_refused"
  | "connections_peak"
  | "connection_seconds"
  | "egress_bytes"
  | "ingress_bytes"
  | "transactions"
  | "wake_waits"
  | "parks"
  | "idle_timeouts"
  | "idle_in_transaction_timeouts"
  | "pool_timeouts";

/** What one meter has counted of a tenant since the gateway came up. */
export interface Total {
  readonly tenantId: string;
  readonly meter: CountedMeter;
  readonly value: number;
}

/** Counters of one tenant since the last reading. A session holds on to them and counts. */
export class TenantTraffic {
  connectionsOpened = 0;
  connectionsRefused = 0;
  /** Bytes to the client. */
  egressBytes = 0;
  /** Bytes from the client. */
  ingressBytes = 0;
  transactions = 0;
  /** Logins that waited for an instance to be woken. */
  wakeWaits = 0;
  /** Connections that left their server because it was parked. */
  parks = 0;
  /** Connections that were ended because they were idle for too long. */
  idleTimeouts = 0;
  /** Clients of the pooled port that were ended because they were silent in a transaction. */
  idleInTransactionTimeouts = 0;
  /** Clients of the pooled port for which no server became free in time. */
  poolTimeouts = 0;
  #open = 0;
  #peak = 0;
  /** Time that connections were open, of all together, up to `#sinceMs`. */
  #openMs = 0;
  #sinceMs = monotonicMs();

  /** Transactions of earlier readings. */
  #earlierTransactions = 0;

  /** All transactions since the gateway came up. */
  get allTransactions(): number {
    return this.#earlierTransactions + this.transactions;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#open;
  }

  /** The most that were open at once since the last reading. */
  get peak(): number {
    return this.#peak;
  }

  opened(): void {
    this.#count();
    this.connectionsOpened += 1;
    this.#open += 1;
    this.#peak = Math.max(this.#peak, this.#open);
  }

  closed(): void {
    this.#count();
    this.#open -= 1;
  }

  /** What was counted, by meter. */
  get readings(): readonly (readonly [meter: Meter, value: number])[] {
    this.#count();
    return [
      ["connections_opened", this.connectionsOpened],
      ["connections_refused", this.connectionsRefused],
      ["connections_peak", this.#peak],
      ["connection_seconds", Math.floor(this.#openMs / SECOND_MS)],
      ["egress_bytes", this.egressBytes],
      ["ingress_bytes", this.ingressBytes],
      ["transactions", this.transactions],
      ["wake_waits", this.wakeWaits],
      ["parks", this.parks],
      ["idle_timeouts", this.idleTimeouts],
      ["idle_in_transaction_timeouts", this.idleInTransactionTimeouts],
      ["pool_timeouts", this.poolTimeouts],
    ];
  }

  /** Counts anew from here. What is less than a second of connections stays. */
  begin(): void {
    this.connectionsOpened = 0;
    this.connectionsRefused = 0;
    this.egressBytes = 0;
    this.ingressBytes = 0;
    this.#earlierTransactions += this.transactions;
    this.transactions = 0;
    this.wakeWaits = 0;
    this.parks = 0;
    this.idleTimeouts = 0;
    this.idleInTransactionTimeouts = 0;
    this.poolTimeouts = 0;
    this.#peak = this.#open;
    this.#openMs %= SECOND_MS;
  }

  #count(): void {
    const nowMs = monotonicMs();
    this.#openMs += this.#open * (nowMs - this.#sinceMs);
    this.#sinceMs = nowMs;
  }
}

export class Traffic {
  readonly #spool: Spool;
  readonly #counters = new Map<string, TenantTraffic>();
  /** What earlier readings add up to. */
  readonly #earlier = new Map<string, Map<CountedMeter, number>>();
  #readAtMs = monotonicMs();

  constructor(path: string) {
    // A new spool begins above all that an earlier one could have numbered.
    this.#spool = new Spool(path, { firstSequence: BigInt(now().getTime()) });
  }

  /** The tenant's counters: the same object for as long as the gateway runs. */
  of(tenantId: string): TenantTraffic {
    const held = this.#counters.get(tenantId);
    if (held !== undefined) return held;
    const counters = new TenantTraffic();
    this.#counters.set(tenantId, counters);
    return counters;
  }

  /** Turns what was counted since the last reading into events on disk. */
  read(): void {
    // By how long it was: a clock that was set back would have it end before it began.
    const readAtMs = monotonicMs();
    const startedAt = encodeTime(deadlineIn(this.#readAtMs - readAtMs));
    const endedAt = encodeTime(now());
    const events: Uint8Array[] = [];
    for (const [tenantId, counters] of this.#counters) {
      for (const [meter, value] of counters.readings) {
        if (value === 0) continue;
        const event = create(UsageEventSchema, {
          meter,
          tenantId,
          value: BigInt(value),
          startedAt,
          endedAt,
        });
        events.push(toBinary(UsageEventSchema, event));
      }
    }
    if (events.length > 0) this.#spool.append(events);
    for (const { tenantId, meter, value } of [...this.totals()]) {
      const totals = this.#earlier.get(tenantId) ?? new Map();
      this.#earlier.set(tenantId, totals.set(meter, value));
    }
    for (const counters of this.#counters.values()) counters.begin();
    this.#readAtMs = readAtMs;
  }

  /** How many transactions each tenant has had since the gateway came up. */
  transactions(): ReadonlyMap<string, number> {
    return new Map([...this.#counters].map(([id, { allTransactions }]) => [id, allTransactions]));
  }

  /** The most connections of each tenant at once since the last reading, a minute ago at most. */
  peaks(): ReadonlyMap<string, number> {
    return new Map([...this.#counters].map(([id, { peak }]) => [id, peak]));
  }

  /** What has been counted since the gateway came up. */
  *totals(): Iterable<Total> {
    for (const [tenantId, counters] of this.#counters) {
      for (const [meter, value] of counters.readings) {
        if (meter === "connections_peak") continue;
        const earlier = this.#earlier.get(tenantId)?.get(meter) ?? 0;
        yield { tenantId, meter, value: earlier + value };
      }
    }
  }

  /** The oldest events after a number that control has not taken in, at most `limit`. */
  eventsAfter(sequence: bigint, limit: number): UsageEvent[] {
    return this.#spool.after(sequence, limit).map((message) => ({
      ...fromBinary(UsageEventSchema, message.body),
      sequence: message.sequence,
    }));
  }

  /** Control has taken in every event up to a number. */
  acknowledge(sequence: bigint): void {
    this.#spool.acknowledge(sequence);
  }

  close(): void {
    this.#spool.close();
  }
}
