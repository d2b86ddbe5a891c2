import { after } from "@aerodb/runtime";

/**
 * Gives `act` a signal that is aborted with `signal`, or when the time is over. Rejects when `act`
 * does; `isOver` tells then which of the two it was.
 */
export async function withDeadline<Value>(
  ms: number,
  signal: AbortSignal,
  act: (ending: AbortSignal, isOver: () => boolean) => Promise<Value>,
): Promise<Value> {
  const deadline = new AbortController();
  const cancel = after(ms, () => deadline.abort());
  try {
    return await act(AbortSignal.any([signal, deadline.signal]), () => deadline.signal.aborted);
  } finally {
    cancel();
  }
}
