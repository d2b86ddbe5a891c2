/** How fast schema tenants come into being, and what the platform costs while it holds many. */
import { readFileSync } from "node:fs";
import { ensureTenant, scramVerifier } from "@aerodb/postgres";
import { newId, sleep } from "@aerodb/runtime";
import { expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { connectRoot } from "./bare-instance.ts";
import { distribution, p50, report, timed } from "./figures.ts";

const EXISTING = Number(process.env["BENCH_TENANTS"] ?? 1_000);
const BULK = 500;
const AT_ONCE = 16;
const SINGLES = 300;
/** After that long without work, V8 has given back what it needed for the load before. */
const IDLE_MS = 90_000;

const platform = usePlatform();
let made = 0;

function createOne(): Promise<unknown> {
  made += 1;
  return platform().createTenant({ name: `bench-${made}` });
}

/** Makes tenants, some at a time, and says how long all took. */
function createMany(count: number): Promise<number> {
  let left = count;
  async function worker(): Promise<void> {
    while (left > 0) {
      left -= 1;
      await createOne();
    }
  }
  return timed(() => Promise.all(Array.from({ length: AT_ONCE }, worker)));
}

test("schema tenants", { timeout: 1_800_000 }, async () => {
  await createOne();
  await createMany(Math.max(0, EXISTING - BULK));
  const bulkMs = await createMany(BULK);

  const [instanceId = ""] = platform().pieces().instances.keys();
  const root = await connectRoot(platform(), instanceId);
  const verifier = await scramVerifier("the-password-of-the-bench");
  const creates: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < SINGLES; round += 1) {
    creates.push(await timed(createOne));
    const tenant = { tenantId: newId("ten"), verifier, connectionLimit: 20, dedicated: false };
    bare.push(await timed(() => ensureTenant(root, tenant)));
  }
  await root.end();
  const busy = memoryOfPieces();
  await sleep(IDLE_MS);

  report(`Schema tenants, ${EXISTING} existing`, [
    {
      what: "POST to 201, one at a time",
      measured: distribution(creates),
      reach: "p50 <= 40 ms, p99 <= 150 ms",
    },
    { what: "the same SQL by one connection", measured: distribution(bare), reach: "-" },
    {
      what: "ratio of the two, p50",
      measured: (p50(creates) / p50(bare)).toFixed(2),
      reach: "<= 3 x 13 ms",
    },
    {
      what: `${BULK} tenants, ${AT_ONCE} at a time`,
      measured: `${((BULK / bulkMs) * 1_000).toFixed(0)} a second`,
      reach: ">= 60",
    },
    { what: "control + gateway + agent, after that", measured: busy, reach: "-" },
    { what: "the same, idle", measured: memoryOfPieces(), reach: "<= 450 MB" },
  ]);
  expect(creates.length).toBe(SINGLES);
});

/** Resident memory of the three pieces: all of it, and without what they share (PSS). */
function memoryOfPieces(): string {
  const pieces = ["control", "gateway", "agents"] as const;
  const each = pieces.map((piece) => {
    const [pid = 0] = platform().pids(piece);
    return { piece, rss: kib(pid, "Rss"), pss: kib(pid, "Pss") };
  });
  const sum = (key: "rss" | "pss") =>
    Math.round(each.reduce((all, one) => all + one[key], 0) / 1024);
  const parts = each.map(({ piece, rss }) => `${piece} ${Math.round(rss / 1024)}`).join(" + ");
  return `RSS ${sum("rss")} MiB (${parts}), PSS ${sum("pss")} MiB`;
}

function kib(pid: number, field: "Rss" | "Pss"): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1]);
}
