/**
 * Failpoints let a test break a real process at a named step. Armed only by configuration, as
 * `name=kill`, `name=throw` or `name=sleep:250`, each optionally `@n` for the nth time only; commas
 * between several. `@/path` arms what that file says when a step is reached, so that one who runs
 * already is broken too. An unarmed failpoint costs one look into an empty map.
 */
import { readFileSync, rmSync } from "node:fs";
import { sleep } from "./clock.ts";

interface Failpoint {
  readonly act: string;
  hitsLeft: number;
}

const armed = new Map<string, Failpoint>();
let ordersFile: string | undefined;

/** Arms the failpoints that the text names; an empty text disarms all. */
export function armFailpoints(text: string): void {
  ordersFile = text.startsWith("@") ? text.slice(1) : undefined;
  armed.clear();
  if (ordersFile === undefined) arm(text);
}

/** A step at which a test may break the process. */
export async function failpoint(name: string): Promise<void> {
  if (ordersFile !== undefined) takeOrders(ordersFile, name);
  const point = armed.get(name);
  if (point === undefined) return;
  point.hitsLeft -= 1;
  if (point.hitsLeft > 0) return;
  armed.delete(name);
  if (point.act === "kill") process.kill(process.pid, "SIGKILL");
  if (point.act === "throw") throw new Error(`failpoint ${name}`);
  if (point.act.startsWith("sleep:")) await sleep(Number(point.act.slice("sleep:".length)));
}

function arm(text: string): void {
  for (const part of text.split(",").filter((each) => each !== "")) {
    const [name = "", act = "", nth = "1"] = part.split(/[=@]/);
    armed.set(name.trim(), { act: act.trim(), hitsLeft: Number(nth) });
  }
}

/** The file goes when the step that it names is reached: whoever comes next is not broken again. */
function takeOrders(file: string, name: string): void {
  const text = contentOf(file);
  if (!text.startsWith(`${name}=`)) return;
  rmSync(file);
  arm(text);
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}
