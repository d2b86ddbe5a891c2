/** The processes of a server's sessions, as the host counts processes. */
import { identifyProcess, innerPidOf, type ProcessIdentity } from "@aerodb/runtime";
import { childrenOf } from "./meter/backends.ts";

/** `pids`: as the server itself counts, which in a sandbox differs from how the host does. */
export async function backendsOf(
  postmasterPid: number,
  pids: ReadonlySet<number>,
): Promise<readonly ProcessIdentity[]> {
  const found: ProcessIdentity[] = [];
  for (const child of childrenOf(postmasterPid)) {
    const identity = identifyProcess(Number(child));
    const inner = await innerPidOf(Number(child));
    if (identity !== undefined && inner !== undefined && pids.has(inner)) found.push(identity);
  }
  return found;
}
