import { newId } from "@aerodb/runtime";
import { encodeTime } from "@aerodb/wire";
import { afterEach, expect, test } from "vitest";
import { type LinkBench, openLinkBench } from "./link-bench.ts";

let bench: LinkBench;
afterEach(() => bench.close());

async function connected() {
  bench = await openLinkBench();
  const agent = await bench.dialAgent();
  const fingerprint = { bootId: "b" };
  agent.send({ message: { case: "hello", value: { agentVersion: "0.1.0", fingerprint } } });
  return agent;
}

/** What the next acknowledgement says of samples. */
async function acknowledged(agent: Awaited<ReturnType<typeof connected>>): Promise<bigint> {
  for (;;) {
    const { message } = await agent.next();
    if (message.case === "acknowledgement") return message.value.sampleSequence;
  }
}

test("samples are kept before they are acknowledged, however long the catalogue is away", async () => {
  const agent = await connected();
  bench.fleet.refusals = 2;
  const instanceId = newId("ins");
  const at = encodeTime(new Date());
  const statements = [{ queryId: -7n, query: "select $1", calls: 2n, totalSeconds: 0.5, rows: 3n }];
  const samples = [4n, 5n].map((sequence) => ({
    ...{ sequence, at, seconds: 10, instanceId, statements },
    values: { cpu_seconds: 1.5 },
  }));
  agent.send({ message: { case: "samples", value: { samples } } });
  expect(await acknowledged(agent)).toBe(5n);
  expect(bench.fleet.samples).toMatchObject([
    { sequence: 4n, instanceId, seconds: 10, values: { cpu_seconds: 1.5 } },
    { sequence: 5n, statements: [{ queryId: "-7", calls: 2, totalSeconds: 0.5, rows: 3 }] },
  ]);
});

test("a sample without a time is acknowledged and not kept", async () => {
  const agent = await connected();
  agent.send({ message: { case: "samples", value: { samples: [{ sequence: 3n, seconds: 1 }] } } });
  expect(await acknowledged(agent)).toBe(3n);
  expect(bench.fleet.samples).toEqual([]);
});
