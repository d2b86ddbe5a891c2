/**
 * What a bad network does to a stream: it is cut, held up, closed in one direction, or lost to one
 * end only, which then hears late what the other said before it dialled again. By chance, from a
 * seed, so that what broke something breaks it again.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { sleep } from "@aerodb/runtime";
import { until } from "../until.ts";

export interface ChaosProxy {
  readonly port: number;
  /** How often each kind of trouble was made; every kind is, in turn. */
  readonly troubles: ReadonlyMap<string, number>;
  /** Connections that were made through it. */
  readonly connections: () => number;
  /** Makes trouble from here on. */
  readonly start: () => void;
  /** From here on what is connected is left alone, and what was held up goes on. */
  readonly calm: () => Promise<void>;
  readonly close: () => void;
}

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  /** Whether something is being done to it. */
  troubled: boolean;
}

const LONGEST_PAUSE_MS = 200;
/** Longer than an agent waits before it dials again. */
const LONGEST_HOLD_MS = 1_000;

type Trouble = (pair: Pair, holdMs: number) => Promise<void>;

const TROUBLES: Readonly<Record<string, Trouble>> = {
  cut: async ({ near, far }) => {
    near.resetAndDestroy();
    far.resetAndDestroy();
  },
  half_close: async ({ near }) => {
    near.end();
  },
  half_close_other: async ({ far }) => {
    far.end();
  },
  hold_up: async ({ near, far }, holdMs) => {
    await Promise.all([holdUp(near, far, holdMs), holdUp(far, near, holdMs)]);
  },
  hold_up_one_way: ({ near, far }, holdMs) => holdUp(near, far, holdMs),
  hold_up_other_way: ({ near, far }, holdMs) => holdUp(far, near, holdMs),
  // The near end has long dialled again when the far one hears the rest of what was said before.
  tell_late: async ({ near, far }, holdMs) => {
    const said: Buffer[] = [];
    near.unpipe(far);
    near.on("data", (bytes: Buffer) => said.push(bytes));
    await sleep(holdMs / 4);
    near.resetAndDestroy();
    await sleep(holdMs);
    far.end(Buffer.concat(said));
  },
};

async function holdUp(from: Socket, to: Socket, holdMs: number): Promise<void> {
  from.unpipe(to);
  await sleep(holdMs);
  from.pipe(to);
}

/** Listens on loopback and passes all on to a port there, badly. */
export async function startChaosProxy(to: number, seed: number): Promise<ChaosProxy> {
  const pairs = new Set<Pair>();
  const troubles = new Map(Object.keys(TROUBLES).map((kind) => [kind, 0]));
  const chance = chanceFrom(seed);
  const calmed = new AbortController();
  let connections = 0;
  const server = createServer({ allowHalfOpen: true }, (near) => {
    connections += 1;
    const far = connect({ port: to, host: "127.0.0.1", allowHalfOpen: true });
    const pair: Pair = { near, far, troubled: false };
    pairs.add(pair);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on("error", () => undefined);
      from.pipe(to);
      from.once("close", () => {
        // While it is troubled, the trouble says what becomes of the other end.
        if (!pair.troubled) to.destroy();
      });
    }
    far.once("close", () => pairs.delete(pair));
  });
  const port = await listen(server);
  let troubling: Promise<void> | undefined;

  async function trouble(): Promise<void> {
    const kinds = Object.entries(TROUBLES);
    for (let made = 0; !calmed.signal.aborted; ) {
      await sleep(chance() * LONGEST_PAUSE_MS);
      const free = [...pairs].filter(({ troubled }) => !troubled);
      const pair = free[Math.floor(chance() * free.length)];
      const [kind, make] = kinds[made % kinds.length] ?? [];
      if (pair === undefined || kind === undefined || make === undefined) continue;
      made += 1;
      pair.troubled = true;
      troubles.set(kind, (troubles.get(kind) ?? 0) + 1);
      const { near, far } = pair;
      void make(pair, chance() * LONGEST_HOLD_MS).then(() => {
        pair.troubled = false;
        if (near.destroyed) far.destroySoon();
        if (far.destroyed) near.destroySoon();
      });
    }
  }

  return {
    port,
    troubles,
    connections: () => connections,
    start: () => {
      troubling ??= trouble();
    },
    calm: async () => {
      calmed.abort();
      await troubling;
      await until("what was held up to go on", () => ![...pairs].some(({ troubled }) => troubled));
    },
    close: () => {
      calmed.abort();
      server.close();
      for (const { near, far } of pairs) {
        near.destroy();
        far.destroy();
      }
    },
  };
}

async function listen(server: Server): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("bug: no port");
  return address.port;
}

/** Numbers from 0 to 1, the same ones for the same seed. The lower bits of its state say little. */
function chanceFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 8) / 2 ** 24;
  };
}
