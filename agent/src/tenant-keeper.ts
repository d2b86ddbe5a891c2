import type { TenantId } from "@aerodb/model";
import type {
  AskedTenant,
  ChangeRefusal,
  HeldLocks,
  ListedTenant,
  ProofManner,
  Runaway,
  SharedTableChange,
  TenantProof,
  TenantRole,
} from "@aerodb/postgres";
import type { RunningInstance } from "./drivers/driver.ts";

/** What the agent asks about tenants inside a running instance. Every method is safe to repeat. */
export interface TenantKeeper {
  /** Everything in the instance that looks like a tenant's. */
  list(instance: RunningInstance): Promise<readonly ListedTenant[]>;

  /**
   * Makes a tenant's role and schema what they should be. `dedicated`: the instance is its alone.
   */
  ensure(
    instance: RunningInstance,
    tenant: TenantRole & { readonly dedicated: boolean },
  ): Promise<void>;

  /**
   * The same of a tenant that may not log in: resolves once it has no session and cannot get one.
   */
  suspend(
    instance: RunningInstance,
    tenant: TenantRole & { readonly dedicated: boolean },
  ): Promise<void>;

  /**
   * Tells a server to read its settings again. Returns the names of those that wait for a restart.
   */
  reload(instance: RunningInstance): Promise<readonly string[]>;

  /**
   * Who holds how much of the table of locks, and who holds up the platform; needs a session that
   * is open already.
   */
  heldLocks(instance: RunningInstance): Promise<HeldLocks>;

  /** Ends workers of the server that a tenant's functions keep from coming to an end. */
  endRunaways(instance: RunningInstance): Promise<readonly Runaway[]>;

  /** Cancels what tenants are writing. */
  cancelWrites(instance: RunningInstance): Promise<void>;

  /** Proves that tenants of the instance are apart from all others. */
  prove(
    instance: RunningInstance,
    asked: readonly AskedTenant[],
    manner?: ProofManner,
  ): Promise<readonly TenantProof[]>;

  /** Makes right what can be of what all tenants of an instance stand behind, by broken rules. */
  mendInstance(instance: RunningInstance, broken: readonly string[]): Promise<void>;

  /**
   * Makes right of a tenant's walls what can be: what `ensure` does and more, also where that was
   * done before.
   */
  mend(
    instance: RunningInstance,
    tenant: TenantRole & { readonly dedicated: boolean },
  ): Promise<void>;

  /**
   * Applies what a shared instance lacks of changes of shared tables. Returns the number of the
   * newest that it has.
   */
  changeTables(instance: RunningInstance, changes: readonly SharedTableChange[]): Promise<number>;

  /** Tries a change as the next one, and undoes it. Returns why it cannot be applied, if so. */
  tryTables(
    instance: RunningInstance,
    change: SharedTableChange,
  ): Promise<ChangeRefusal | undefined>;

  /** Removes all that the instance holds of a tenant. */
  drop(instance: RunningInstance, tenantId: TenantId): Promise<void>;

  /** Lets go of an instance that stops or is gone: nothing else may be asked of it then. */
  leave(instance: RunningInstance): Promise<void>;

  /** Ends every session. */
  close(): void;
}
