/** Takes what an agent found out about its host into the catalogue. */
import type { HostId } from "@aerodb/model";
import { type HostFingerprint, writeFingerprint } from "../store/fingerprints.ts";
import type { Control } from "./control.ts";
import { cleanText } from "./text.ts";

export type { HostFingerprint };

/** What an agent says of its host. */
export interface HostFacts {
  readonly fingerprint: HostFingerprint;
  /** Engines it can run and is allowed to, for example `18.4`. */
  readonly engines: readonly string[];
  readonly capabilities: readonly string[];
}

const MAX_TEXT = 200;
/** No host has more of anything that it lists. */
const MAX_LISTED = 100;

/**
 * Keeps what is said of a host: in the session of a token, or at its beginning without one. False
 * when there is no such host or session any more.
 */
export function takeHostFacts(
  control: Control,
  from: { readonly hostId: HostId; readonly token?: string },
  facts: HostFacts,
): Promise<boolean> {
  return writeFingerprint(control.database, {
    hostId: from.hostId,
    token: from.token,
    fingerprint: cleaned(facts.fingerprint),
    engines: cleaned(facts.engines),
    capabilities: cleaned(facts.capabilities),
  });
}

/** The same with every text in it made fit to keep, and every list of a bearable length. */
function cleaned<Value>(value: Value): Value {
  return clean(value) as Value;
}

function clean(value: unknown): unknown {
  if (typeof value === "string") return cleanText(value, MAX_TEXT);
  if (Array.isArray(value)) return value.slice(0, MAX_LISTED).map(clean);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, clean(part)]));
}
