/** Answers control's question what of a tenant takes most room. */
import { Fault, isId, messageOf } from "@aerodb/model";
import {
  askLargeObjects,
  askLargestRelations,
  type SizedRelation,
  withMeter,
} from "@aerodb/postgres";
import {
  type RelationReport,
  RelationReportSchema,
  type RelationRequest,
} from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { type Logger, within } from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import type { HostState } from "./host-state.ts";
import type { Sampler } from "./meter/sampler.ts";

export interface RelationPorts {
  readonly state: HostState;
  readonly sampler: Pick<Sampler, "login" | "visited">;
  readonly logger: Logger;
}

const LARGE_OBJECTS = {
  schema: "",
  name: "large objects",
  kind: "large objects",
  table: "",
} as const;
const STATEMENT_MS = 6_000;
/** Control waits longer than this. */
const ANSWER_MS = 9_000;
const MOST_RELATIONS = 50;

/** Never rejects: what goes wrong is a sentence in the answer. */
export async function answerRelations(
  ports: RelationPorts,
  request: RelationRequest,
): Promise<RelationReport> {
  const { relationsId } = request;
  const expecting = `the relations of ${request.tenantId}`;
  try {
    const found = await within({ ms: ANSWER_MS, expecting }, askRelations(ports, request));
    const relations = found.map((relation) => ({ ...relation }));
    return create(RelationReportSchema, { relationsId, relations });
  } catch (error) {
    if (!(error instanceof Fault)) ports.logger.error({ err: error }, "bug in sizing relations");
    const failure = error instanceof Fault ? messageOf(error) : "They could not be sized.";
    return create(RelationReportSchema, { relationsId, failure });
  }
}

async function askRelations(
  { state, sampler, logger }: RelationPorts,
  { tenantId, limit }: RelationRequest,
): Promise<readonly SizedRelation[]> {
  const tenant = isId("ten", tenantId) ? state.tenant(tenantId) : undefined;
  if (!isId("ten", tenantId) || tenant === undefined) {
    throw new Fault("TENANT_NOT_FOUND", `The host holds no tenant ${JSON.stringify(tenantId)}.`);
  }
  const running = state.seen(tenant.instanceId)?.running;
  const password = sampler.login?.password;
  if (running === undefined || password === undefined) {
    throw new Fault("UNAVAILABLE", `The instance ${tenant.instanceId} cannot be asked now.`);
  }
  const { socketDirectory } = running;
  const login = { socketDirectory, password, statementTimeoutMs: STATEMENT_MS };
  sampler.visited(running.id);
  const most = Math.min(limit, MOST_RELATIONS);
  return withMeter(login, async (client) => {
    const relations = await askLargestRelations(client, tenantId, most);
    const bytes = (await askLargeObjects(client)).get(tenantId) ?? 0;
    if (bytes < 1) return relations;
    const largeObjects = { ...LARGE_OBJECTS, bytes: BigInt(Math.round(bytes)) };
    return [...relations, largeObjects].sort(largestFirst).slice(0, most);
  }).catch((error: unknown) => {
    // Where it is on the host is nothing for whoever asks.
    logger.warn({ tenant: tenantId, because: messageOf(error) }, "relations could not be sized");
    throw new Fault("UNAVAILABLE", "The instance does not answer now: ask again in a moment.");
  });
}

function largestFirst(a: SizedRelation, b: SizedRelation): number {
  return a.bytes > b.bytes ? -1 : 1;
}
