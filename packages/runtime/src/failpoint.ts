/**
 * Failpoints let a test break a real process at a named step. Armed only by configuration, as
 * `name=kill`, `name=throw` or `name=sleep:250`, each optionally `@n` for the nth time only; commas
 * between several. An unarmed failpoint costs one look into an empty map.
 */
import { sleep } from "./clock.ts";

interface Failpoint {
  readonly act: string;
  hitsLeft: number;
}

const armed = new Map<string, Failpoint>();

/** Arms the failpoints that the text names; an empty text disarms all. */
export function armFailpoints(text: string): void {
  armed.clear();
  for (const part of text.split(",").filter((each) => each !== "")) {
    const [name = "", act = "", nth = "1"] = part.split(/[=@]/);
    armed.set(name.trim(), { act: act.trim(), hitsLeft: Number(nth) });
  }
}

/** A step at which a test may break the process. */
export async function failpoint(name: string): Promise<void> {
  const point = armed.get(name);
  if (point === undefined) return;
  point.hitsLeft -= 1;
  if (point.hitsLeft > 0) return;
  armed.delete(name);
  if (point.act === "kill") process.kill(process.pid, "SIGKILL");
  if (point.act === "throw") throw new Error(`failpoint ${name}`);
  if (point.act.startsWith("sleep:")) await sleep(Number(point.act.slice("sleep:".length)));
}
