/** Users of this machine that are somebody else's, so that no instance is given one of them. */
import { readdir, readFile, stat } from "node:fs/promises";

export interface UidSpan {
  readonly base: number;
  readonly count: number;
}

/** Of a span of users: those with an entry in passwd, and those that a process runs as now. */
export async function foreignUids(
  { base, count }: UidSpan,
  passwd = "/etc/passwd",
): Promise<ReadonlySet<number>> {
  const all = [...(await listed(passwd)), ...(await running())];
  return new Set(all.filter((uid) => uid >= base && uid < base + count));
}

async function listed(passwd: string): Promise<readonly number[]> {
  const text = await readFile(passwd, "utf8").catch(() => "");
  return text.split("\n").map((line) => Number(line.split(":")[2] ?? Number.NaN));
}

async function running(): Promise<readonly number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const uids = pids.map((pid) => stat(`/proc/${pid}`).then(uidOf, () => Number.NaN));
  return Promise.all(uids);
}

function uidOf({ uid }: { readonly uid: number }): number {
  return uid;
}
