import { RelationRequestSchema } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { newId, silent } from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { answerRelations, type RelationPorts } from "./relation-answers.ts";

test("of an instance that does not answer no more is told than that", async () => {
  const running = { id: newId("ins"), socketDirectory: "/nowhere/run/x" };
  const state = { tenant: () => ({ instanceId: running.id }), seen: () => ({ running }) };
  const sampler = { login: { password: "secret" }, visited: () => undefined };
  const ports = { state, sampler, logger: silent } as unknown as RelationPorts;
  const request = create(RelationRequestSchema, { tenantId: newId("ten"), limit: 5 });
  expect(await answerRelations(ports, request)).toMatchObject({
    relations: [],
    failure: "The instance does not answer now: ask again in a moment.",
  });
});
