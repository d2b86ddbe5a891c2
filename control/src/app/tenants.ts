/** Use cases of tenants. Each verb has its own file. */
import type { Caller, Control } from "./control.ts";
import type { TenantView } from "./tenant-connection.ts";
import { createTenant, type NewTenant } from "./tenant-create.ts";
import { changeTenant, installExtension, restartTenant } from "./tenant-postgres.ts";
import { removeTenant } from "./tenant-remove.ts";
import { rotateCredentials } from "./tenant-rotate.ts";
import { reinstateTenant, suspendTenant } from "./tenant-suspend.ts";
import type { TenantChange } from "./tenant-update.ts";
import { getTenant, listTenants, type TenantFilter, type TenantPage } from "./tenant-view.ts";

/** Tenants are named by id or by name; TENANT_NOT_FOUND when there is none that is not deleted. */
export interface Tenants {
  create(caller: Caller, ask: NewTenant, signal: AbortSignal): Promise<TenantView>;
  get(tenant: string): Promise<TenantView>;
  list(filter: TenantFilter): Promise<TenantPage>;
  update(
    caller: Caller,
    tenant: string,
    change: TenantChange,
    signal?: AbortSignal,
  ): Promise<TenantView>;
  restart(caller: Caller, tenant: string, signal: AbortSignal): Promise<TenantView>;
  installExtension(
    caller: Caller,
    tenant: string,
    name: string,
    signal: AbortSignal,
  ): Promise<TenantView>;
  rotate(caller: Caller, tenant: string, signal: AbortSignal): Promise<TenantView>;
  suspend(caller: Caller, tenant: string, reason: string, signal: AbortSignal): Promise<TenantView>;
  reinstate(caller: Caller, tenant: string, signal: AbortSignal): Promise<TenantView>;
  remove(caller: Caller, tenant: string, signal: AbortSignal): Promise<TenantView>;
}

export function openTenants(control: Control): Tenants {
  return {
    create: (caller, ask, signal) => createTenant(control, { caller, ask, signal }),
    get: (tenant) => getTenant(control, tenant),
    list: (filter) => listTenants(control, filter),
    update: (caller, tenant, change, signal = new AbortController().signal) =>
      changeTenant(control, { caller, tenant, change, signal }),
    restart: (caller, tenant, signal) => restartTenant(control, { caller, tenant, signal }),
    installExtension: (caller, tenant, name, signal) =>
      installExtension(control, { caller, tenant, name, signal }),
    rotate: (caller, tenant, signal) => rotateCredentials(control, { caller, tenant, signal }),
    suspend: (caller, tenant, reason, signal) =>
      suspendTenant(control, { caller, tenant, reason, signal }),
    reinstate: (caller, tenant, signal) => reinstateTenant(control, { caller, tenant, signal }),
    remove: (caller, tenant, signal) => removeTenant(control, { caller, tenant, signal }),
  };
}

export type { Caller, NewTenant, TenantChange, TenantFilter, TenantPage, TenantView };
