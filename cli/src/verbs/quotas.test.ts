import { QuotaStandingSchema } from "@aerodb/rpc/aerodb/control/v1/quota_service_pb.js";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { explainedText } from "./quotas.ts";

const STORAGE = { resource: "storage_bytes", explanation: "12 of 100 bytes are used." };

test("what is used is told with when that was read, and since when it matters", () => {
  const standing = create(QuotaStandingSchema, {
    ...STORAGE,
    since: timestampFromDate(new Date("2026-11-15T12:00:00Z")),
    usedAt: timestampFromDate(new Date("2026-11-15T12:03:00Z")),
  });
  expect(explainedText(standing)).toBe(
    "storage_bytes (since 2026-11-15 12:00:00Z, read 2026-11-15 12:03:00Z): " +
      "12 of 100 bytes are used.",
  );
});

test("what was never read is told as that", () => {
  expect(explainedText(create(QuotaStandingSchema, STORAGE))).toBe(
    "storage_bytes (not read yet): 12 of 100 bytes are used.",
  );
});
