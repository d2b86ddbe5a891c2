import { Fault } from "@aerodb/model";
import type {
  ProofReport,
  IsolationProof as WireProof,
} from "@aerodb/rpc/aerodb/agent/v1/observed_pb.js";
import { decodeTime } from "@aerodb/wire";
import type { IsolationProof } from "../app/isolation.ts";

/** None for one that does not say when it was taken: it could not be told from an older one. */
export function decodeProof(proof: WireProof): IsolationProof[] {
  const { tenantId, provenAt, engine, healedRules, unprovenBecause } = proof;
  if (provenAt === undefined) return [];
  const rules = proof.rules.map(({ id, checked, held, violations }) => {
    return { id, checked, held, violations };
  });
  return [
    { tenantId, provenAt: decodeTime(provenAt), engine, rules, healedRules, unprovenBecause },
  ];
}

export function decodeProofReport({ proof, failure }: ProofReport): IsolationProof {
  const [decoded] = proof === undefined ? [] : decodeProof(proof);
  if (failure !== "" || decoded === undefined) {
    throw new Fault("UNAVAILABLE", failure || "The agent could not prove the tenant.");
  }
  return decoded;
}
