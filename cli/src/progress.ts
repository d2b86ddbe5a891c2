/**
 * Shows that something goes on, on standard error: a spinner on a terminal, else a line now and
 * then.
 */
import { after, every, monotonicMs } from "@aerodb/runtime";

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const QUIET_MS = 1_000;
const FRAME_MS = 100;
const LINE_EVERY_MS = 5_000;
const CLEAR_LINE = "\r\u001b[2K";

export interface ProgressOptions {
  readonly stream?: NodeJS.WriteStream;
  /** How long to say nothing: what is quick needs no progress. */
  readonly quietMs?: number;
}

/** Waits for work and shows its name while it takes longer than a moment. */
export async function showProgress<Value>(
  label: string,
  work: Promise<Value>,
  options: ProgressOptions = {},
): Promise<Value> {
  const stream = options.stream ?? process.stderr;
  const startedAt = monotonicMs();
  const over = new AbortController();
  const animated = stream.isTTY && !over.signal.aborted;
  let shown = false;
  let frame = 0;

  function draw(): void {
    shown = true;
    const text = `${label} … ${seconds(monotonicMs() - startedAt)}`;
    frame += 1;
    if (animated) stream.write(`${CLEAR_LINE}${FRAMES[frame % FRAMES.length]} ${text}`);
    else stream.write(`${text}\n`);
  }

  const cancel = after(options.quietMs ?? QUIET_MS, () => {
    draw();
    every(animated ? FRAME_MS : LINE_EVERY_MS, draw, over.signal);
  });
  try {
    return await work;
  } finally {
    cancel();
    over.abort();
    if (shown && animated) stream.write(CLEAR_LINE);
  }
}

/** A duration for people: `0.4 s`. */
export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
