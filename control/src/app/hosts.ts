import { Fault } from "@aerodb/model";
import { type HostFingerprint, readFingerprint } from "../store/fingerprints.ts";
import type { Host } from "../store/hosts.ts";
import * as store from "../store/hosts.ts";
import type { Control } from "./control.ts";
import { couldBeText } from "./text.ts";

export type { Host };

/** A host with what its agent found out about it; undefined until that dialled. */
export interface DescribedHost extends Host {
  readonly fingerprint: HostFingerprint | undefined;
}

/** Every host, by name. */
export function listHosts(control: Control): Promise<readonly Host[]> {
  return store.listHosts(control.database);
}

/** One host by id or name. HOST_NOT_FOUND. */
export async function getHost(control: Control, idOrName: string): Promise<Host> {
  const [host] = couldBeText(idOrName) ? await store.listHosts(control.database, idOrName) : [];
  if (host !== undefined) return host;
  throw hostNotFound(idOrName);
}

export function hostNotFound(idOrName: string): Fault {
  return new Fault("HOST_NOT_FOUND", `There is no host ${JSON.stringify(idOrName)}.`);
}

/** The same with everything that is known of it. */
export async function describeHost(control: Control, idOrName: string): Promise<DescribedHost> {
  const host = await getHost(control, idOrName);
  return { ...host, fingerprint: await readFingerprint(control.database, host.id) };
}
