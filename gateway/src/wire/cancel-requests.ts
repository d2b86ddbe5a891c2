/** What is done with a cancel request, here or by the gateway beside this one that made the key. */
import type { BackendKey } from "@aerodb/postgres";
import type { CancelKeys } from "./cancel-keys.ts";
import type { Instances } from "./instances.ts";

export interface CancelSettings {
  readonly keys: CancelKeys;
  readonly instances: Pick<Instances, "cancel">;
  /** The gateways beside this one; undefined where there are none. */
  readonly siblings: { pass(key: BackendKey, signal: AbortSignal): Promise<void> } | undefined;
}

export class CancelRequests {
  readonly #settings: CancelSettings;

  constructor(settings: CancelSettings) {
    this.#settings = settings;
  }

  /** Takes a client's. As by Postgres, nobody is told whether there was anything to cancel. */
  async take(key: BackendKey, signal: AbortSignal): Promise<void> {
    await this.takeHere(key, signal);
    await this.#settings.siblings?.pass(key, signal);
  }

  /** Of a gateway beside this one: it goes no further. */
  async takeHere(key: BackendKey, signal: AbortSignal): Promise<void> {
    const { keys, instances } = this.#settings;
    const target = keys.take(key);
    if (target === undefined) return;
    const release = target.reserve?.();
    await instances.cancel(target, signal).finally(release);
  }
}
