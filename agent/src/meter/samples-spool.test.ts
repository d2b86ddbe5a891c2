import { type InstanceId, mergeReadings, type Readings } from "@aerodb/model";
import { type Sample, SampleSchema } from "@aerodb/rpc/aerodb/agent/v1/sample_pb.js";
import { newId } from "@aerodb/runtime";
import { fromBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { encodeMeasured } from "./measured.ts";
import { QuietSpans } from "./quiet-spans.ts";
import { openSampleSpool } from "./samples-spool.ts";
import { SampleStream } from "./samples-stream.ts";

const AT = new Date("2026-01-02T03:04:05Z").getTime();
const INSTANCES = [1, 2, 3].map(() => newId("ins"));

function measured(instanceId: InstanceId, beat: number, seconds = 10) {
  const readings: Readings = { cpu_seconds: 0.5, connections: beat };
  return { instanceId, at: new Date(AT + beat * 10_000), seconds, readings };
}

function decoded(spool: ReturnType<typeof openSampleSpool>): Sample[] {
  return spool.after(0n, 100_000).map(({ body }) => fromBinary(SampleSchema, body));
}

function fill(spool: ReturnType<typeof openSampleSpool>, beats: number, first = 0): void {
  for (let beat = first; beat < first + beats; beat += 1) {
    spool.append(INSTANCES.map((id) => encodeMeasured(measured(id, beat))));
  }
}

test("while control is away the spool stays small, and what was counted stays counted", () => {
  const spool = openSampleSpool(":memory:", 60);
  fill(spool, 500);
  expect(spool.size).toBeLessThanOrEqual(60);
  for (const id of INSTANCES) {
    const own = decoded(spool).filter(({ instanceId }) => instanceId === id);
    const whole = own.map(({ values }) => values as Readings).reduce(mergeReadings);
    expect(whole).toEqual({ cpu_seconds: 250, connections: 499 });
    expect(own.reduce((sum, { seconds }) => sum + seconds, 0)).toBe(5_000);
    const times = own.map(({ at }) => Number(at?.seconds));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  }
});

/** Control's end: what it has stored, each number once, as the catalogue does it. */
function fakeControl() {
  const stored = new Map<bigint, Sample>();
  return {
    stored,
    store(samples: readonly Sample[]): void {
      for (const sample of samples) {
        if (!stored.has(sample.sequence)) stored.set(sample.sequence, sample);
      }
    },
    total(): number {
      const values = [...stored.values()].map(({ values }) => values["cpu_seconds"] ?? 0);
      return values.reduce((sum, value) => sum + value, 0);
    },
  };
}

test("answers that are lost, spools that fill and streams that break count nothing twice", () => {
  const spool = openSampleSpool(":memory:", 60);
  const control = fakeControl();
  fill(spool, 10);
  // Everything arrives, and no acknowledgement does.
  const lost = new SampleStream({
    spool,
    write: ({ samples }) => control.store(samples),
    isOpen: () => true,
  });
  lost.send();
  // Nobody is there for long: what was never sent is condensed.
  fill(spool, 300, 10);
  const again = new SampleStream({
    spool,
    write: ({ samples }) => {
      control.store(samples);
      queued.push(samples.at(-1)?.sequence ?? 0n);
    },
    isOpen: () => true,
  });
  const queued: bigint[] = [];
  again.send();
  for (let sequence = queued.shift(); sequence !== undefined; sequence = queued.shift()) {
    again.acknowledge(sequence);
    again.acknowledge(sequence);
  }
  expect(spool.size).toBe(0);
  expect(control.total()).toBe(310 * INSTANCES.length * 0.5);
});

test("no more is on its way than control keeps up with", () => {
  const spool = openSampleSpool(":memory:");
  fill(spool, 400);
  const reports: number[] = [];
  const stream = new SampleStream({
    spool,
    write: ({ samples }) => reports.push(samples.length),
    isOpen: () => true,
  });
  stream.send();
  stream.send();
  expect(reports).toEqual([200, 200]);
  const [first] = spool.after(0n, 200).slice(-1);
  stream.acknowledge(first?.sequence ?? 0n);
  expect(reports).toEqual([200, 200, 200]);
});

test("quiet spans become one, and a busy span stands alone behind them", () => {
  const [id = newId("ins")] = INSTANCES;
  const spans = new QuietSpans(30);
  expect(spans.take(measured(id, 1), true)).toEqual([]);
  const told = spans.take(measured(id, 2), false);
  expect(told.map(({ seconds }) => seconds)).toEqual([10, 10]);
  expect(spans.take(measured(id, 3), true)).toEqual([]);
  expect(spans.take(measured(id, 4), true)).toEqual([]);
  expect(spans.take(measured(id, 5), true)).toMatchObject([
    { seconds: 30, readings: { cpu_seconds: 1.5, connections: 5 } },
  ]);
  spans.take(measured(id, 6), true);
  expect(spans.drain()).toHaveLength(1);
});
