import { appliesTo, type Rule } from "./rule.ts";
import { rulesOfPlatform } from "./rules-of-platform.ts";
import { RULES_OF_PRIVILEGES } from "./rules-of-privileges.ts";
import { rulesOfRelations } from "./rules-of-relations.ts";
import { RULES_OF_ROLES } from "./rules-of-roles.ts";
import { RULES_OF_SERVER } from "./rules-of-server.ts";
import { RULES_OF_SHARED_TABLES } from "./rules-of-shared-tables.ts";

/** What is to be proven in an instance. */
export interface ProofScope {
  /** Whether it is one of many tenants. */
  readonly shared: boolean;
  /** Whether policies bind the owners of tables too. */
  readonly forced: boolean;
}

/** Every rule that applies, in the order of reports. */
export function rulesFor({ shared, forced }: ProofScope): readonly Rule[] {
  return [
    ...RULES_OF_ROLES,
    ...rulesOfRelations(forced),
    ...RULES_OF_PRIVILEGES,
    ...rulesOfPlatform(forced),
    ...RULES_OF_SHARED_TABLES,
    ...RULES_OF_SERVER,
  ].filter((rule) => appliesTo(rule, shared));
}
