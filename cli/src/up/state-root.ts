/**
 * Where the state that Postgres reads lives: `<home>/state`. Started by root, servers run under
 * users of their own, who must be able to reach it; under a private directory such as root's home
 * they cannot, and then `state` is a link to a directory under /var/lib.
 */
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, realpathSync, statSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { Fault } from "@aerodb/model";

export type StateRoot =
  | { readonly kind: "in_home"; readonly path: string }
  | { readonly kind: "elsewhere"; readonly path: string; readonly because: string }
  | { readonly kind: "unreachable"; readonly blockedBy: string };

export interface HomeFacts {
  readonly home: string;
  /** Whether servers will run under other users than this process. */
  readonly otherUsers: boolean;
  /** What `<home>/state` is now: where its link leads, or a directory. */
  readonly existing: { readonly link: string } | "directory" | undefined;
  /** The home or the nearest directory above it that other users cannot pass. */
  readonly blockedBy: string | undefined;
}

/** Decides where the state lives. What was decided once stays. */
export function decideStateRoot(facts: HomeFacts): StateRoot {
  const inHome = join(facts.home, "state");
  if (typeof facts.existing === "object") {
    return { kind: "elsewhere", path: facts.existing.link, because: "it was put there before" };
  }
  if (!facts.otherUsers || facts.blockedBy === undefined) return { kind: "in_home", path: inHome };
  if (facts.existing === "directory") return { kind: "unreachable", blockedBy: facts.blockedBy };
  const because = `${facts.blockedBy} is closed to the users that Postgres runs as`;
  return { kind: "elsewhere", path: `/var/lib/aerodb-${hashOf(facts.home)}`, because };
}

/** Twelve hexadecimal digits that stand for a home. */
export function hashOf(home: string): string {
  return createHash("sha256").update(home).digest("hex").slice(0, 12);
}

/**
 * Decides, and makes the directory and the link. Returns the real path, and why if not in the home.
 */
export function prepareStateRoot(
  home: string,
  otherUsers: boolean,
): { readonly path: string; readonly because: string | undefined } {
  const root = decideStateRoot(homeFacts(home, otherUsers));
  switch (root.kind) {
    case "in_home":
      mkdirSync(root.path, { recursive: true, mode: 0o711 });
      return { path: root.path, because: undefined };
    case "elsewhere":
      mkdirSync(root.path, { recursive: true, mode: 0o711 });
      if (!existsSync(join(home, "state"))) symlinkSync(root.path, join(home, "state"));
      return root;
    case "unreachable":
      throw new Fault(
        "UNAVAILABLE",
        `Postgres runs as users of its own, to whom ${root.blockedBy} is closed: ` +
          `run "chmod o+x ${root.blockedBy}".`,
      );
  }
}

/** Where the state of a home is, if it has any. */
export function findStateRoot(home: string): string | undefined {
  try {
    return realpathSync(join(home, "state"));
  } catch {
    return undefined;
  }
}

function homeFacts(home: string, otherUsers: boolean): HomeFacts {
  return { home, otherUsers, existing: existingState(home), blockedBy: firstClosed(home) };
}

function existingState(home: string): HomeFacts["existing"] {
  const path = join(home, "state");
  const entry = lstatSync(path, { throwIfNoEntry: false });
  if (entry === undefined) return undefined;
  if (!entry.isSymbolicLink()) return "directory";
  const link = findStateRoot(home);
  if (link !== undefined) return { link };
  throw new Fault(
    "UNAVAILABLE",
    `${path} leads to a directory that is gone: bring it back, or remove the link to start anew.`,
  );
}

const OTHERS_MAY_PASS = 0o001;

function firstClosed(home: string): string | undefined {
  for (let path = home; ; path = dirname(path)) {
    if ((statSync(path).mode & OTHERS_MAY_PASS) === 0) return path;
    if (path === dirname(path)) return undefined;
  }
}
