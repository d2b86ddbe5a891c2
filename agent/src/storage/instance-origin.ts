/**
 * Whose data lies in an instance's directory. Data that somebody copied there, from another
 * instance or from another host, starts as well as any: it would be served to the wrong tenant.
 */
import { constants } from "node:fs";
import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault, type InstanceId, messageOf } from "@aerodb/model";
import type { SpacePlace } from "./layout.ts";

/** Neither does a link lead elsewhere, nor does a pipe make its reader wait. */
const READ_ONLY_WHAT_IS_THERE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Notes whose data it is. Flushed by the caller, with the data. */
export async function writeOrigin(
  path: string,
  origin: { readonly id: InstanceId; readonly systemIdentifier: bigint },
): Promise<void> {
  await writeFile(path, lineOf(origin.id, origin.systemIdentifier), { mode: 0o600 });
}

/** Throws UNAVAILABLE unless the data in an instance's directory is what was made there. */
export async function requireOrigin(id: InstanceId, place: SpacePlace): Promise<void> {
  const systemIdentifier = await readIdentifier(place.data);
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

/** The identifier in the control file, whatever somebody may have put in its place. */
async function readIdentifier(data: string): Promise<bigint> {
  const path = join(data, "global", "pg_control");
  const file = await open(path, READ_ONLY_WHAT_IS_THERE).catch((error: unknown) => {
    throw new Fault("UNAVAILABLE", `Could not read ${path}: ${messageOf(error)}`);
  });
  try {
    if (!(await file.stat()).isFile()) throw new Fault("UNAVAILABLE", `${path} is no file.`);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8, 0);
    if (bytesRead < 8) throw new Fault("UNAVAILABLE", `${path} is empty.`);
    return buffer.readBigUInt64LE(0);
  } finally {
    await file.close();
  }
}

function lineOf(id: InstanceId, systemIdentifier: bigint): string {
  return `${id} with system identifier ${systemIdentifier}\n`;
}
