import type { Finding } from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import { FindingSchema } from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { leftAlone, linesOf, toSweep } from "./sweep.ts";

function found(kind: string): Finding {
  return create(FindingSchema, { kind, hostId: "hst_1", subject: kind.toLowerCase() });
}

const DIAGNOSIS = {
  findings: [
    ...["ORPHAN_DIRECTORY", "ORPHAN_PROCESS", "ORPHAN_PATH", "ORPHAN_ROLE"],
    ...["FORGOTTEN_INSTANCE", "MISSING_ROLE", "STUCK_TENANT"],
  ].map(found),
  trash: [found("TRASH")],
};

function kindsOf(flags: Parameters<typeof toSweep>[1]): readonly string[] {
  return toSweep(DIAGNOSIS, flags).map(({ kind }) => kind);
}

test("a sweep is of orphans; data that may be somebody's is asked for by name", () => {
  const orphans = ["ORPHAN_DIRECTORY", "ORPHAN_PROCESS", "ORPHAN_PATH"];
  expect(kindsOf({})).toEqual(orphans);
  expect(kindsOf({ forgotten: true })).toEqual([...orphans, "FORGOTTEN_INSTANCE"]);
  expect(kindsOf({ purge: true })).toEqual([...orphans, "TRASH"]);
});

test("what a sweep leaves alone is said, and how to sweep what was forgotten", () => {
  const left = (flags: Parameters<typeof toSweep>[1]) => linesOf(leftAlone(DIAGNOSIS, flags));
  const forgotten = /^Found and left alone: 4 .*forgotten \(1\) are swept with --forgotten/;
  expect(left({})).toEqual([expect.stringMatching(forgotten)]);
  expect(left({ forgotten: true })).toEqual([
    "Found and left alone: 3 (aerodb doctor shows them).",
  ]);
  const clean = { findings: [found("ORPHAN_PATH"), found("HOST_NOT_AUDITED")] };
  expect(linesOf(leftAlone(clean, {}))).toEqual([]);
});
