/** Who a process is, on disk: its id, its key, its certificate and the authority it trusts. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { replaceFileSync } from "@aerodb/runtime";
import type { KeyMaterial } from "./held-keys.ts";

export interface Identity extends KeyMaterial {
  readonly kind: "host" | "gateway";
  readonly id: string;
  /** `host:port` of control's link. */
  readonly linkAddress: string;
  /** Id of the join token that it was got with; unknown for one of an earlier version. */
  readonly joinTokenId?: string;
}

const FILE = "identity.json";

/** The identity that a directory holds, if it holds one. */
export function loadIdentity(directory: string): Identity | undefined {
  const path = join(directory, FILE);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Identity) : undefined;
}

/** Keeps an identity, for its owner's eyes only. */
export function saveIdentity(directory: string, identity: Identity): void {
  mkdirSync(directory, { recursive: true });
  replaceFileSync(join(directory, FILE), `${JSON.stringify(identity, undefined, 2)}\n`);
}

export interface JoinOptions {
  readonly directory: string;
  readonly kind: "host" | "gateway";
  /** `host:port` of control's API. */
  readonly apiAddress: string;
  readonly joinToken: string | undefined;
  /** What to call the host or gateway. */
  readonly name: string;
  /** Told why joining waits, when the reason is a new one and once a minute. */
  readonly waits?: ((because: string) => void) | undefined;
  readonly signal: AbortSignal;
}
