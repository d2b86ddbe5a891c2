/**
 * Processor time by tenant in a shared instance, from the processes that serve their sessions: the
 * server puts the role's name into the title of each. Nobody inside can change either.
 */
import { readFileSync } from "node:fs";
import { isId, type TenantId } from "@aerodb/model";
import { readProcessStat } from "@aerodb/runtime";

/** What the kernel counts processor time in, as programs see it: fixed since Linux 2.6. */
const TICKS_PER_SECOND = 100;
const TITLE = /^postgres: (?:[^ ]+: )?(ten_[0-9a-z]{26}) /;

interface Backend {
  readonly tenantId: TenantId | undefined;
  readonly started: string;
  readonly ticks: number;
}

export class Backends {
  #known: ReadonlyMap<string, Backend> | undefined;

  /**
   * What each tenant's sessions used since the last time. A session that came and went in between
   * is not seen, so the sum is a lower bound; the instance's own is exact.
   */
  measure(postmasterPid: number): ReadonlyMap<TenantId, number> {
    const before = this.#known;
    const known = new Map<string, Backend>();
    const used = new Map<TenantId, number>();
    for (const pid of childrenOf(postmasterPid)) {
      const backend = this.#look(pid, before?.get(pid));
      if (backend === undefined) continue;
      known.set(pid, backend);
      if (before === undefined || backend.tenantId === undefined) continue;
      const earlier = before.get(pid);
      const since = earlier?.started === backend.started ? earlier.ticks : 0;
      const seconds = (backend.ticks - since) / TICKS_PER_SECOND;
      used.set(backend.tenantId, (used.get(backend.tenantId) ?? 0) + seconds);
    }
    this.#known = known;
    return used;
  }

  #look(pid: string, before: Backend | undefined): Backend | undefined {
    const stat = readProcessStat(pid);
    if (stat === undefined) return undefined;
    const { startTicks: started, ticks } = stat;
    if (before?.started === started && before.tenantId !== undefined) return { ...before, ticks };
    const [, role = ""] = TITLE.exec(read(`/proc/${pid}/cmdline`) ?? "") ?? [];
    return { tenantId: isId("ten", role) ? role : undefined, started, ticks };
  }
}

/** Pids of the processes that a process started, as text. */
export function childrenOf(pid: number): readonly string[] {
  const list = read(`/proc/${pid}/task/${pid}/children`) ?? "";
  return list.split(" ").filter((each) => each !== "");
}

/** Such files are memory, so reading them blocks nobody; undefined when the process is gone. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
