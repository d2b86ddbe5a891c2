import type { HostService } from "@aerodb/rpc/aerodb/control/v1/host_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Caller } from "../app/control.ts";
import type { Diagnosis } from "../app/diagnosis.ts";
import type { HostRemoveRequest, RemovedHost } from "../app/host-remove.ts";
import type { DescribedHost, Host } from "../app/hosts.ts";
import type { FindingToSweep, SweepResult } from "../app/sweep.ts";
import type { JoiningDesk } from "../auth/joining-desk.ts";
import { callerOf } from "./caller.ts";
import { encodeHost } from "./encode-host.ts";
import { type Logs, partOf } from "./log-parts.ts";

export interface Hosts {
  list(): Promise<readonly Host[]>;
  get(host: string): Promise<DescribedHost>;
  remove(caller: Caller, ask: HostRemoveRequest): Promise<RemovedHost>;
  diagnose(signal: AbortSignal): Promise<Diagnosis>;
  sweep(
    caller: Caller,
    findings: readonly FindingToSweep[],
    signal: AbortSignal,
  ): Promise<readonly SweepResult[]>;
}

export function hostService(
  hosts: Hosts,
  logs: Logs,
  desk: Pick<JoiningDesk, "createJoinToken">,
): ServiceImpl<typeof HostService> {
  return {
    async listHosts() {
      return { hosts: (await hosts.list()).map((host) => encodeHost(host)) };
    },

    async getHost(request) {
      const { fingerprint, ...host } = await hosts.get(request.host);
      return { host: encodeHost(host, fingerprint) };
    },

    async deleteHost({ host, lost }, context) {
      const { id, removedAt, ...removed } = await hosts.remove(callerOf(context), { host, lost });
      return { ...removed, hostId: id, removedAt: encodeTime(removedAt) };
    },

    async createJoinToken(request, context) {
      const { kind, region, ttlSeconds, labels, rejoins } = request;
      const ask = { kind, region, ttlSeconds, labels, rejoins };
      const { expiresAt, ...made } = await desk.createJoinToken(callerOf(context), ask);
      return { ...made, expiresAt: encodeTime(expiresAt) };
    },

    async diagnose(_, context) {
      const { findings, trash, ...checked } = await hosts.diagnose(context.signal);
      return { findings: [...findings], trash: [...trash], ...checked };
    },

    async sweepOrphans({ findings }, context) {
      const named = findings.map(({ kind, hostId, subject }) => ({ kind, hostId, subject }));
      const results = await hosts.sweep(callerOf(context), named, context.signal);
      return { results: [...results] };
    },

    async getInstanceLogs(request, context) {
      return logs.ofInstance(request.instanceId, partOf(request), context.signal);
    },
  };
}
