/** Limits of one process, which what it starts inherits: `prlimit` sets them on one that runs. */
import { execFile } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { Fault, messageOf } from "@aerodb/model";
import { canChangeOwner } from "@aerodb/postgres";

const run = promisify(execFile);
const DEADLINE_MS = 5_000;

/**
 * Whether the kernel ends a backend of a server before the server itself when memory is short: what
 * each backend makes its score is in the server's environment.
 */
export async function sparesServer(pid: number): Promise<boolean> {
  const [environment = "", own = ""] = await Promise.all(
    ["environ", "oom_score_adj"].map((name) =>
      readFile(`/proc/${pid}/${name}`, "latin1").catch(() => ""),
    ),
  );
  const backends = /(?:^|\0)PG_OOM_ADJUST_VALUE=(-?\d+)/.exec(environment)?.[1];
  return backends !== undefined && own !== "" && Number(backends) > Number(own);
}

/**
 * Sets what a process of a server may have of memory of its own, and whatever it starts from then
 * on. Done as the server's own user, for which no privilege is needed.
 */
export async function limitMemory(pid: number, bytes: number): Promise<void> {
  const limits = await readFile(`/proc/${pid}/limits`, "latin1").catch(() => "");
  if (/^Max data size +(\d+)/m.exec(limits)?.[1] === bytes.toString()) return;
  const { uid, gid } = await stat(`/proc/${pid}`);
  const whose = canChangeOwner() ? { uid, gid } : {};
  const words = ["--pid", pid.toString(), `--data=${bytes}:`];
  try {
    await run("prlimit", words, { ...whose, timeout: DEADLINE_MS });
  } catch (error) {
    throw new Fault("UNAVAILABLE", `Could not limit the server's memory: ${messageOf(error)}`);
  }
}
