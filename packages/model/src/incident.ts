/**
 * Why nobody got through to a tenant for a while. What is planned is kept apart from what is not,
 * and what nobody measured is neither.
 */
export type IncidentKind = "unplanned" | "planned" | "unknown";

interface CauseTraits {
  readonly kind: IncidentKind;
  /** For people, as it ends the sentence "Nobody got through: …". */
  readonly about: string;
}

export const INCIDENT_CAUSES = {
  no_answer: { kind: "unplanned", about: "the server did not answer" },
  starting: { kind: "unplanned", about: "the server was starting, stopping or recovering" },
  busy: { kind: "unplanned", about: "the server had more to do than it could take on" },
  failing: { kind: "unplanned", about: "the server failed at every login" },
  no_place: { kind: "unplanned", about: "the gateway was not told where the server is" },
  quarantine: { kind: "unplanned", about: "the tenant's isolation could not be proven" },
  host_silent: { kind: "unplanned", about: "the agent of the host was not heard either" },
  restart: { kind: "planned", about: "the server was being restarted" },
  not_measured: { kind: "unknown", about: "the gateway could not ask in time" },
} as const satisfies Readonly<Record<string, CauseTraits>>;

export type IncidentCause = keyof typeof INCIDENT_CAUSES;

/** Control finds this out by itself. */
const BY_CONTROL: IncidentCause = "host_silent";

/** Whether a gateway may name it as a cause. */
export function isGatewayCause(name: string): name is IncidentCause {
  return Object.hasOwn(INCIDENT_CAUSES, name) && name !== BY_CONTROL;
}

/** Every cause of one kind. */
export function causesOf(kind: IncidentKind): readonly IncidentCause[] {
  const all = Object.keys(INCIDENT_CAUSES) as IncidentCause[];
  return all.filter((cause) => INCIDENT_CAUSES[cause].kind === kind);
}
