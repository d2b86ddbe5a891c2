export type { AskedTenant } from "./catalogue-proof.ts";
export {
  isProven,
  PROOF_ENDS,
  type ProofManner,
  proveIsolation,
  ruleNamed,
  rulesOfInstance,
  type TenantProof,
} from "./isolation-proof.ts";
export { mendPlatform } from "./mend-platform.ts";
export { mendTenant } from "./mend-tenant.ts";
export { holds, type JudgedRule } from "./rule.ts";
export type { ProofScope } from "./rules.ts";
export { takeBack, takeBackFromGroups } from "./taking-back.ts";
