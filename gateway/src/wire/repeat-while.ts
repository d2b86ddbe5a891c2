/** Does something again that may have come too early. */
import { sleep } from "@aerodb/runtime";

/** A process that has work reads it within these, on a machine that is not at its end. */
const RESTS_MS = [10, 40, 160, 640];

/** Does it again after a rest, and after longer ones, while that is asked for. Never rejects. */
export async function repeatWhile(
  needed: () => boolean,
  act: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  try {
    for (const ms of RESTS_MS) {
      await sleep(ms, signal);
      if (!needed()) return;
      await act();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
