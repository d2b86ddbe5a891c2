/**
 * A data directory that its own server turned into a trap for the agent, which may read and write
 * everything on the host: links out of it, pipes, devices.
 */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { lstat, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  connectInstance,
  findPostmaster,
  readSystemIdentifier,
  socketPath,
  writeConfiguration,
} from "@aerodb/postgres";
import { within } from "@aerodb/runtime";
import { readChecksums } from "../../../packages/postgres/src/control-file.ts";
import { BOTH, family } from "../attack-case.ts";

const DEADLINE_MS = 2_000;
const UNTOUCHED = "of the host";

interface Trapped {
  readonly data: string;
  /** A file of the host's, which a link may lead to. */
  readonly outside: string;
}

/**
 * What became of a file outside, and of the work of the agent in a directory that was trapped,
 * which says whether it fell for that. To fail is safe, and to wait is not.
 */
function trapped(
  lay: (place: Trapped) => Promise<unknown>,
  work: (data: string) => Promise<boolean>,
) {
  return async (): Promise<string> => {
    const directory = await mkdtemp(join(tmpdir(), "aerodb-"));
    const place = { data: join(directory, "data"), outside: join(directory, "outside") };
    try {
      await mkdir(join(place.data, "global"), { recursive: true });
      await writeFile(place.outside, UNTOUCHED);
      await lay(place);
      const worked = work(place.data).catch(() => false);
      const fell = await within({ ms: DEADLINE_MS, expecting: "the agent to go on" }, worked);
      const untouched = (await readFile(place.outside, "utf8")) === UNTOUCHED;
      return untouched && !fell ? "none" : "done";
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  };
}

const configure = (data: string) =>
  writeConfiguration(data, {
    kind: "dedicated",
    engineMajor: 18,
    maxConnections: 20,
    memoryMiB: 256,
  });
const linked = (name: string) => (place: Trapped) => symlink(place.outside, join(place.data, name));
const piped = (name: string) => async (place: Trapped) =>
  execFileSync("mkfifo", [join(place.data, name)]);
const endless = (name: string) => (place: Trapped) => symlink("/dev/zero", join(place.data, name));

/** Whether a file was not replaced. */
async function configured(data: string): Promise<boolean> {
  await configure(data);
  const found = await Promise.all(
    ["postgresql.conf", "pg_hba.conf"].map((name) => lstat(join(data, name))),
  );
  return !found.every((about) => about.isFile());
}

const searched = async (data: string) => (await findPostmaster(data)) !== undefined;
const identified = (data: string) => readSystemIdentifier(data).then(() => true);
const checked = (data: string) => readChecksums(data).then(() => true);

/** What comes to a neighbour's socket of what is meant for a server that put a link to it. */
async function ledToNeighbour(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "aerodb-"));
  const [neighbour, own] = [join(directory, "neighbour"), join(directory, "own")];
  let reached = false;
  const server = createServer((socket) => {
    reached = true;
    socket.destroy();
  });
  try {
    for (const each of [neighbour, own]) await mkdir(each);
    server.listen(socketPath(neighbour));
    await once(server, "listening");
    await symlink(socketPath(neighbour), socketPath(own));
    const socket = connectInstance(own);
    // What it comes to is seen on the other side.
    socket.on("error", () => undefined).resume();
    const closed = once(socket, "close").catch(() => undefined);
    await within({ ms: DEADLINE_MS, expecting: "the platform to go on" }, closed);
    return reached ? "done" : "none";
  } finally {
    server.close();
    await rm(directory, { recursive: true, force: true });
  }
}

export const DIRECTORY = family(
  "directory",
  { models: BOTH, safe: ["none"], since: 18 },
  {
    socket_link: { attack: ledToNeighbour },
    configuration_link: { attack: trapped(linked("postgresql.conf"), configured) },
    configuration_draft_link: { attack: trapped(linked("postgresql.conf.new"), configured) },
    admission_link: { attack: trapped(linked("pg_hba.conf"), configured) },
    configuration_directory: {
      attack: trapped((place) => mkdir(join(place.data, "postgresql.conf.new")), configured),
    },
    process_pipe: { attack: trapped(piped("postmaster.pid"), searched) },
    process_endless: { attack: trapped(endless("postmaster.pid"), searched) },
    process_of_agent: {
      attack: trapped(
        (place) => writeFile(join(place.data, "postmaster.pid"), `${process.pid}\n`),
        searched,
      ),
    },
    control_pipe: { attack: trapped(piped("global/pg_control"), identified) },
    control_endless: { attack: trapped(endless("global/pg_control"), identified) },
    checksums_pipe: { attack: trapped(piped("global/pg_control"), checked) },
  },
);
