import type { TenantService } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Tenants } from "../app/tenants.ts";
import { callerOf } from "./caller.ts";
import { encodeTenant } from "./encode-tenant.ts";
import { type Isolations, isolationMethods } from "./isolation-reports.ts";
import { type Logs, partOf } from "./log-parts.ts";

interface Served {
  readonly tenants: Tenants;
  readonly logs: Logs;
  readonly isolation: Isolations;
}

/** Speaks TenantService. A handler decodes, delegates and encodes; it decides nothing. */
export function tenantService({
  tenants,
  logs,
  isolation,
}: Served): ServiceImpl<typeof TenantService> {
  return {
    ...isolationMethods(isolation),
    async createTenant(request, context) {
      const { name, plan, region, isolation, labels, requestId } = request;
      const ask = { name, plan, region, isolation, labels, requestId };
      const tenant = await tenants.create(callerOf(context), ask, context.signal);
      return { tenant: encodeTenant(tenant) };
    },

    async getTenant(request) {
      return { tenant: encodeTenant(await tenants.get(request.tenant)) };
    },

    async listTenants(request) {
      const { pageSize, pageToken, plan, status, isolation, namePrefix } = request;
      const filter = { pageSize, pageToken, plan, status, isolation, namePrefix };
      const page = await tenants.list(filter);
      return { tenants: page.tenants.map(encodeTenant), nextPageToken: page.nextPageToken };
    },

    async updateTenant(request, context) {
      const { tenant: named, plan, labels, settings, apply } = request;
      const rest = { labels, settings, apply };
      const change = plan === undefined ? rest : { plan, ...rest };
      const tenant = await tenants.update(callerOf(context), named, change, context.signal);
      return { tenant: encodeTenant(tenant) };
    },

    async restartTenant(request, context) {
      const tenant = await tenants.restart(callerOf(context), request.tenant, context.signal);
      return { tenant: encodeTenant(tenant) };
    },

    async installExtension({ tenant: named, name }, context) {
      const { signal } = context;
      const tenant = await tenants.installExtension(callerOf(context), named, name, signal);
      return { tenant: encodeTenant(tenant) };
    },

    async rotateCredentials(request, context) {
      const tenant = await tenants.rotate(callerOf(context), request.tenant, context.signal);
      return { tenant: encodeTenant(tenant) };
    },

    async suspendTenant({ tenant: named, reason }, context) {
      const tenant = await tenants.suspend(callerOf(context), named, reason, context.signal);
      return { tenant: encodeTenant(tenant) };
    },

    async reinstateTenant(request, context) {
      const tenant = await tenants.reinstate(callerOf(context), request.tenant, context.signal);
      return { tenant: encodeTenant(tenant) };
    },

    async getTenantLogs(request, context) {
      return logs.ofTenant(request.tenant, partOf(request), context.signal);
    },

    async deleteTenant(request, context) {
      const tenant = await tenants.remove(callerOf(context), request.tenant, context.signal);
      return { tenant: encodeTenant(tenant) };
    },
  };
}
