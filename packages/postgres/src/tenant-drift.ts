/** What an instance holds of a tenant beside what it should hold. */
import type { ListedTenant, TenantRole } from "./tenant-role.ts";

/**
 * What of a tenant's role is not as it should be, by the rules of proofs that ask the same, and by
 * `role.password` and `role.login`, which none asks. Empty where nothing is to mend but sessions
 * and extensions.
 */
export function driftOf(listed: ListedTenant, desired: TenantRole): readonly string[] {
  const preloads = listed.settings.some((setting) => {
    return setting.startsWith("local_preload_libraries=");
  });
  const found: readonly (readonly [string, boolean])[] = [
    ["role.present", !listed.role || !listed.schema],
    ["role.settings", preloads],
    ["role.connections", listed.connectionLimit !== desired.connectionLimit],
    ["privilege.schema", listed.writesRefused !== (desired.writesRefused ?? false)],
    ["role.password", listed.verifier !== desired.verifier],
    ["role.login", listed.canLogin === (desired.suspended ?? false)],
  ];
  const broken = found.flatMap(([rule, isBroken]) => (isBroken ? [rule] : []));
  return [...new Set([...listed.lacks, ...broken])];
}
