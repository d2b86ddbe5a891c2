import { Fault, messageOf } from "@aerodb/model";
import { backoffMs, type Logger, sleep } from "@aerodb/runtime";

const BACKOFF = { firstMs: 50, maxMs: 2_000 };

/**
 * Tries again while the catalogue is away, until the signal is aborted. Other failures are thrown.
 */
export async function persist<Value>(
  attempt: () => Promise<Value>,
  options: { readonly signal: AbortSignal; readonly logger: Logger },
): Promise<Value> {
  for (let failures = 1; ; failures += 1) {
    options.signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== "unavailable") throw error;
      if (failures === 1) options.logger.warn({ because: messageOf(error) }, "tries again");
      await sleep(backoffMs(failures, BACKOFF), options.signal);
    }
  }
}
