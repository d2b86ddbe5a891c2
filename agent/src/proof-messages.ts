/** Proofs of tenants' isolation, as control is told of them. */
import { Fault, isId, messageOf } from "@aerodb/model";
import {
  type IsolationProof,
  IsolationProofSchema,
  type ProofReport,
  ProofReportSchema,
  type ProofRequest,
} from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { type Logger, within } from "@aerodb/runtime";
import { encodeTime } from "@aerodb/wire";
import { create } from "@bufbuild/protobuf";
import { type IsolationWatch, isUnfinished, type KeptProof } from "./isolation-watch.ts";

/** Control waits longer than this. */
const PROVE_MS = 35_000;

export function encodeProof(proof: KeptProof): IsolationProof {
  return create(IsolationProofSchema, {
    tenantId: proof.tenantId,
    provenAt: encodeTime(proof.provenAt),
    engine: proof.running.engine,
    rules: proof.rules.map((rule) => ({ ...rule, violations: [...rule.violations] })),
    healedRules: [...proof.healed],
    unprovenBecause: proof.unproven ?? "",
  });
}

/** Never rejects: what goes wrong is a sentence in the answer. */
export async function answerProof(
  isolation: IsolationWatch,
  logger: Logger,
  { proofId, tenantId }: ProofRequest,
): Promise<ProofReport> {
  try {
    if (!isId("ten", tenantId)) throw new Fault("TENANT_NOT_FOUND", "That is no tenant's id.");
    const proving = isolation.proveNow(tenantId);
    const proof = await within({ ms: PROVE_MS, expecting: `the proof of ${tenantId}` }, proving);
    if (isUnfinished(proof))
      throw new Fault("UNAVAILABLE", `Not proven in time: ${proof.unproven}`);
    return create(ProofReportSchema, { proofId, proof: encodeProof(proof) });
  } catch (error) {
    if (!(error instanceof Fault)) logger.error({ err: error }, "bug in a proof");
    const failure = error instanceof Fault ? messageOf(error) : "The tenant could not be proven.";
    return create(ProofReportSchema, { proofId, failure });
  }
}
