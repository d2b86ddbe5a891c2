/**
 * The tenants' database is in a tablespace of its own, apart from the data directory, so that it
 * can be held to a limit while WAL and catalogues of the server are not. Postgres finds the place
 * by a link in the data directory, and nowhere else: a clone is given another link.
 */
import { randomUUID } from "node:crypto";
import { lstat, readdir, readlink, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "@aerodb/model";

export const TABLESPACE = "aerodb_data";
const LINKS = "pg_tblspc";

/** Where the tablespace's link is in a data directory; undefined when it has no tablespace. */
export async function tablespaceLink(dataDirectory: string): Promise<string | undefined> {
  const links = join(dataDirectory, LINKS);
  const about = await lstat(links);
  if (!about.isDirectory()) throw notOurs(links);
  const names = (await readdir(links)).filter((name) => /^\d+$/.test(name));
  if (names.length > 1) throw notOurs(links);
  return names[0] === undefined ? undefined : join(LINKS, names[0]);
}

/**
 * Makes a data directory find its tablespace at a place. Does nothing when it does already, or has
 * none. Its server must not run.
 */
export async function pointTablespace(dataDirectory: string, location: string): Promise<void> {
  const link = await tablespaceLink(dataDirectory);
  if (link === undefined) return;
  const path = join(dataDirectory, link);
  const leads = await readlink(path).catch(() => undefined);
  if (leads === location) return;
  if (leads === undefined) await rm(path, { recursive: true, force: true });
  const draft = `${path}-${randomUUID()}`;
  await symlink(location, draft);
  await rename(draft, path);
}

function notOurs(links: string): Fault {
  return new Fault(
    "UNAVAILABLE",
    `${links} is not as the platform made it: ` +
      "put back what belongs there, or restore the instance.",
  );
}
