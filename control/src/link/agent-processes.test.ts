import { Fault, type HostId } from "@aerodb/model";
import { newId, sleep } from "@aerodb/runtime";
import { status } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import { AgentProcesses } from "./agent-processes.ts";
import { HOST_ID, type LinkBench, openLinkBench } from "./link-bench.ts";

let bench: LinkBench | undefined;
afterEach(async () => {
  await bench?.close();
  bench = undefined;
});

/** Dials as a process of the one host, and says hello. */
async function dial(processId: string) {
  if (bench === undefined) throw new Error("there is no bench");
  const agent = await bench.dialAgent();
  const said = { agentVersion: "0.1.0", edgeAddress: `${processId}:1`, processId };
  agent.send({ message: { case: "hello", value: { ...said, fingerprint: { bootId: "b" } } } });
  return agent;
}

async function taken(processId: string) {
  const agent = await dial(processId);
  expect((await agent.next()).message.case).toBe("desired");
  return agent;
}

test("of two agents with one identity the first is kept, and the other refused from then on", async () => {
  bench = await openLinkBench();
  const first = await taken("original");
  const copied = await taken("copy");
  expect((await first.ended)?.code).toBe(status.ABORTED);
  const again = await taken("original");
  const end = await copied.ended;
  expect(end?.code).toBe(status.FAILED_PRECONDITION);
  expect(end?.details).toContain(`another agent runs with the identity of host ${HOST_ID}`);
  expect(end?.details).toContain("Stop one of them; a machine that was copied joins");
  for (let tries = 0; tries < 3; tries += 1) {
    expect((await (await dial("copy")).ended)?.code).toBe(status.FAILED_PRECONDITION);
  }
  // Who is kept lost nothing by that, is told once, and may dial again.
  expect(bench.fleet.conflicts).toMatchObject([
    { kept: { edgeAddress: "original:1" }, refused: { edgeAddress: "copy:1" } },
  ]);
  expect(bench.fleet.hellos).toHaveLength(3);
  expect(bench.agents.connectedHosts).toEqual([HOST_ID]);
  again.close();
  await taken("original");
  expect(bench.fleet.conflicts).toHaveLength(1);
});

test("a conflict that the catalogue could not take is told with the next hello", async () => {
  bench = await openLinkBench();
  await taken("original");
  await taken("copy");
  bench.fleet.refusals = 1;
  expect((await (await dial("original")).ended)?.code).toBe(status.UNAVAILABLE);
  expect((await (await dial("copy")).ended)?.code).toBe(status.FAILED_PRECONDITION);
  await taken("original");
  expect(bench.fleet.conflicts).toHaveLength(1);
});

test("an agent that was started again takes the place of the earlier", async () => {
  bench = await openLinkBench();
  const earlier = await taken("before");
  await taken("after");
  expect((await earlier.ended)?.code).toBe(status.ABORTED);
  await taken("after");
  expect(bench.fleet.conflicts).toEqual([]);
});

test("agents that do not say which process they are replace each other, as they always did", async () => {
  bench = await openLinkBench();
  for (let tries = 0; tries < 3; tries += 1) await taken("");
  await taken("original");
  await taken("");
  await taken("original");
  expect(bench.fleet.conflicts).toEqual([]);
});

test("who was refused is let in once the other has been gone for a while", async () => {
  bench = await openLinkBench({ conflictMs: 1 });
  await taken("original");
  await taken("copy");
  const original = await taken("original");
  expect((await (await dial("copy")).ended)?.code).toBe(status.FAILED_PRECONDITION);
  original.close();
  for (let tries = 0; bench.agents.connectedHosts.length > 0 && tries < 500; tries += 1) {
    await sleep(10);
  }
  await sleep(10);
  await taken("copy");
});

test("of three the first is kept, and after it was started again nobody else is let in", () => {
  const processes = new AgentProcesses(60_000);
  const host = newId("hst") as HostId;
  const admit = (id: string) =>
    processes.admit(
      host,
      { id, address: "", edgeAddress: "", agentVersion: "" },
      {
        connected: true,
      },
    );
  for (const id of ["a", "b", "c"]) expect(admit(id)).toBeUndefined();
  const conflict = admit("a");
  expect(conflict).toMatchObject({ kept: { id: "a" }, refused: { id: "c" } });
  if (conflict !== undefined) processes.told(host, conflict);
  expect(admit("d")).toBeUndefined();
  for (const id of ["b", "c"]) expect(() => admit(id)).toThrow(Fault);
});
