/** What this machine can put around an instance, found by trying. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { canChangeOwner } from "@aerodb/postgres";
import type { SandboxKind } from "./launch-words.ts";
import { openControlGroups } from "./open-control-groups.ts";
import { findSandbox } from "./sandbox.ts";

export interface DetectedLimits {
  /** Version 0: none can be made. */
  readonly controlGroups: {
    readonly version: 0 | 1 | 2;
    readonly controllers: readonly string[];
  };
  readonly namespaces: readonly string[];
  readonly sandbox: SandboxKind;
  readonly nftables: boolean;
}

const run = promisify(execFile);
const DEADLINE_MS = 5_000;
const NAMESPACES = ["mount", "pid", "ipc", "uts", "net"];

/** Tries in the home: what is left of one that was killed is found there. */
export async function detectLimits(home: string): Promise<DetectedLimits> {
  const directory = await mkdtemp(join(home, "limits.try-"));
  try {
    const [groups, namespaces, user, sandbox, nftables] = await Promise.all([
      openControlGroups(directory),
      Promise.all(NAMESPACES.map(canUnshare)),
      works("unshare", ["--user", "true"]),
      findSandbox(directory),
      works("nft", ["list", "tables"]),
    ]);
    return {
      controlGroups: {
        version: groups?.version ?? 0,
        controllers: groups?.controllers ?? [],
      },
      namespaces: [...NAMESPACES.filter((_, at) => namespaces[at]), ...(user ? ["user"] : [])],
      sandbox,
      nftables,
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function canUnshare(namespace: string): Promise<boolean> {
  const user = canChangeOwner() ? [] : ["--user", "--map-root-user"];
  return works("unshare", [...user, `--${namespace}`, "--fork", "true"]);
}

function works(program: string, words: readonly string[]): Promise<boolean> {
  return run(program, words, { timeout: DEADLINE_MS }).then(
    () => true,
    () => false,
  );
}
