/** Answers control's question whether a change of shared tables can be applied on this host. */
import { Fault, messageOf } from "@aerodb/model";
import {
  type TrialReport,
  TrialReportSchema,
  type TrialRequest,
} from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { type Logger, within } from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import type { HostState } from "./host-state.ts";
import type { TenantKeeper } from "./tenant-keeper.ts";

/** Control waits longer than this. */
const TRIAL_MS = 35_000;

export interface TrialPorts {
  readonly state: HostState;
  readonly tenants: Pick<TenantKeeper, "tryTables">;
  readonly logger: Logger;
}

/** Never rejects: what goes wrong is a sentence in the answer. */
export async function answerTrial(
  { state, tenants, logger }: TrialPorts,
  { trialId, number, name, sql }: TrialRequest,
): Promise<TrialReport> {
  const instanceIds: string[] = [];
  const tryAll = async (): Promise<TrialReport> => {
    for (const { present, spec } of state.instances()) {
      const running = state.seen(spec.id)?.running;
      if (!present || !spec.shared || running === undefined) continue;
      instanceIds.push(spec.id);
      const refused = await tenants.tryTables(running, { number, name, sql });
      if (refused === undefined) continue;
      const { sentence: refusal, sqlState, line } = refused;
      return create(TrialReportSchema, { trialId, instanceIds, refusal, sqlState, line });
    }
    return create(TrialReportSchema, { trialId, instanceIds });
  };
  try {
    return await within({ ms: TRIAL_MS, expecting: `the trial of ${name}` }, tryAll());
  } catch (error) {
    if (!(error instanceof Fault)) logger.error({ err: error }, "bug in a trial");
    const failure = error instanceof Fault ? messageOf(error) : "The change could not be tried.";
    return create(TrialReportSchema, { trialId, failure });
  }
}
