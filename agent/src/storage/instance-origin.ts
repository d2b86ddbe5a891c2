/**
 * Whose data lies in an instance's directory. Data that somebody copied there, from another
 * instance or from another host, starts as well as any: it would be served to the wrong tenant.
 */
import { readFile, writeFile } from "node:fs/promises";
import { Fault, type InstanceId } from "@aerodb/model";
import { readSystemIdentifier } from "@aerodb/postgres";
import type { SpacePlace } from "./layout.ts";

/** Notes whose data it is. Flushed by the caller, with the data. */
export async function writeOrigin(
  path: string,
  origin: { readonly id: InstanceId; readonly systemIdentifier: bigint },
): Promise<void> {
  await writeFile(path, lineOf(origin.id, origin.systemIdentifier), { mode: 0o600 });
}

/** Throws UNAVAILABLE unless the data in an instance's directory is what was made there. */
export async function requireOrigin(id: InstanceId, place: SpacePlace): Promise<void> {
  const systemIdentifier = await readSystemIdentifier(place.data);
  const noted = await readFile(place.origin, "utf8").catch(() => undefined);
  // Made by an agent that noted nothing yet.
  if (noted === undefined) return writeOrigin(place.origin, { id, systemIdentifier });
  if (noted === lineOf(id, systemIdentifier)) return;
  throw new Fault(
    "UNAVAILABLE",
    `The data in ${place.data} is not what was made there: it says ` +
      `${lineOf(id, systemIdentifier).trim()}, and ${noted.trim()} was noted. It is not served: ` +
      "put the instance's own data back, or delete its tenant.",
  );
}

/**
 * The system identifier of data that is served: as noted, whatever its server may have put there
 * since. Of the data itself where nothing was noted.
 */
export async function servedIdentifier(place: SpacePlace): Promise<bigint> {
  const noted = await readFile(place.origin, "utf8").catch(() => "");
  const digits = / (\d+)\n$/.exec(noted)?.[1];
  return digits === undefined ? readSystemIdentifier(place.data) : BigInt(digits);
}

function lineOf(id: InstanceId, systemIdentifier: bigint): string {
  return `${id} with system identifier ${systemIdentifier}\n`;
}
