/**
 * What clients of a tenant that is not served are told. Why it is suspended is not their business;
 * which of its walls does not hold is.
 */
import type { ServerReport } from "@aerodb/postgres";
import { type Route, RouteState } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";

/** "Cannot connect now": drivers that try again on it are right to. */
const CANNOT_CONNECT_NOW = "57P03";
/** "No such database", a moment early: trying again is of no use. */
const NO_SUCH_DATABASE = "3D000";
/** "Not authorised": drivers and pools take it to be final, and it is until somebody acts. */
const NOT_AUTHORISED = "28000";
const ADMIN_SHUTDOWN = "57P01";

type Refusal = (route: Pick<Route, "name" | "brokenRules">) => ServerReport;

/** As many as fit into a sentence. */
const MOST_NAMED = 5;

const REFUSALS: ReadonlyMap<RouteState, Refusal> = new Map<RouteState, Refusal>([
  [
    RouteState.CREATING,
    () => fatal(CANNOT_CONNECT_NOW, "the tenant is being created: try again in a moment"),
  ],
  [RouteState.GONE, () => fatal(NO_SUCH_DATABASE, "the tenant was deleted")],
  [RouteState.DELETING, () => fatal(NO_SUCH_DATABASE, "the tenant is being deleted")],
  [
    RouteState.SUSPENDED,
    ({ name }) =>
      fatal(
        NOT_AUTHORISED,
        `the tenant ${name} is suspended: ask whoever runs this platform to reinstate it`,
      ),
  ],
  [
    RouteState.QUARANTINED,
    ({ name, brokenRules }) =>
      fatal(
        NOT_AUTHORISED,
        `the tenant ${name} is not served because its isolation could not be proven` +
          `${named(brokenRules)}; the operator was told`,
      ),
  ],
]);

/** What its owner may have to change, for the operator cannot always. */
function named(rules: readonly string[]): string {
  if (rules.length === 0) return "";
  const more = rules.length > MOST_NAMED ? ` and ${rules.length - MOST_NAMED} more` : "";
  return `: ${rules.slice(0, MOST_NAMED).join(", ")}${more}`;
}

/** Why a connection by this route is refused; undefined when it is not. */
export function refusalOf(route: Route): ServerReport | undefined {
  const { state } = route;
  if (state === RouteState.ACTIVE) return undefined;
  // A state that only a later control knows refuses too: it is not `ACTIVE`.
  return REFUSALS.get(state)?.(route) ?? fatal(CANNOT_CONNECT_NOW, "the tenant is not served now");
}

/**
 * States in which those who are inside are to leave as well. Of a tenant that is being deleted they
 * would else be left to its server, and who is held for a restart waits for one that never comes.
 */
const ENDS_SESSIONS: ReadonlySet<RouteState> = new Set([
  ...[RouteState.SUSPENDED, RouteState.QUARANTINED, RouteState.DELETING, RouteState.GONE],
]);

/** Whether those who are inside are to leave as well. */
export function endsSessions({ state }: Route): boolean {
  return ENDS_SESSIONS.has(state);
}

/** What is said to those who are inside. */
export function farewellOf(refusal: ServerReport): ServerReport {
  return fatal(ADMIN_SHUTDOWN, `terminating connection: ${refusal.message}`);
}

function fatal(sqlState: string, message: string): ServerReport {
  return { severity: "FATAL", sqlState, message };
}
