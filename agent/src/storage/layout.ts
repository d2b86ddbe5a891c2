/**
 * Where the process driver keeps things under the agent's home:
 *
 *   instances/<instance id>/data   the data directory, owned by the instance's user
 *   instances/<instance id>/space  the tablespace of its tenants, see instance-space.ts
 *   instances/<instance id>/limit  what holds that space to which size; none: nothing does
 *   instances/<instance id>/origin whose data it is
 *   instances/<instance id>/log    what the server says; the agent's own
 *   instances/<instance id>/lock   held by every process of the server
 *   instances/<instance id>/engine version it was last started with
 *   instances/<instance id>/applied  what its server was started with or brought to since
 *   instances/<instance id>/mark   says which home made it
 *   instances/<instance id>/durable  written once all of it is known to be on disk
 *   instances/.making-<id>         half made; removed when an agent starts
 *   instances/.gone-<id>           half destroyed; removed when an agent starts
 *   spares/<random>                clone that waits for its instance; removed likewise
 *   run/<end of id>                directory of the unix socket: apart, to keep its path short
 */
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { type InstanceId, isId } from "@aerodb/model";
import { SOCKET_FILE } from "@aerodb/postgres";

/** The kernel takes no longer path of a unix socket, its final NUL not counted. */
const LONGEST_SOCKET_PATH = 107;
/** 60 random bits of the id. */
const SHORT_NAME_LENGTH = 12;

const MAKING = ".making-";
const GONE = ".gone-";

export interface Layout {
  readonly instances: string;
  readonly run: string;
  readonly spares: string;
}

/** What is in the directory of an instance, also while that is being made. */
export interface SpacePlace {
  readonly directory: string;
  readonly data: string;
  /** The databases' files in the data directory. */
  readonly base: string;
  readonly space: string;
  /** The tablespace where nothing holds it to a limit. */
  readonly files: string;
  readonly limit: string;
  readonly origin: string;
}

export interface InstancePlace extends SpacePlace {
  readonly logDirectory: string;
  readonly log: string;
  readonly lock: string;
  readonly engine: string;
  readonly applied: string;
  readonly durable: string;
  readonly socketDirectory: string;
  readonly making: string;
  readonly gone: string;
}

/** A home too deep for a socket in it has its sockets in the directory for temporary files. */
export function layoutOf(home: string): Layout {
  const instances = join(home, "instances");
  const run = join(home, "run");
  const spares = join(home, "spares");
  const socket = join(run, "x".repeat(SHORT_NAME_LENGTH), SOCKET_FILE);
  if (Buffer.byteLength(socket) <= LONGEST_SOCKET_PATH) return { instances, run, spares };
  const hash = createHash("sha256").update(home).digest("hex").slice(0, SHORT_NAME_LENGTH);
  return { instances, run: join(tmpdir(), `aerodb-run-${hash}`), spares };
}

export function placeOf(layout: Layout, id: InstanceId): InstancePlace {
  const directory = join(layout.instances, id);
  return {
    ...spacePlaceOf(directory),
    logDirectory: join(directory, "log"),
    log: join(directory, "log", "postgres.log"),
    lock: join(directory, "lock"),
    engine: join(directory, "engine"),
    applied: join(directory, "applied"),
    durable: join(directory, "durable"),
    socketDirectory: join(layout.run, shortNameOf(id)),
    making: join(layout.instances, `${MAKING}${id}`),
    gone: join(layout.instances, `${GONE}${id}`),
  };
}

export function spacePlaceOf(directory: string): SpacePlace {
  const [data, space] = [join(directory, "data"), join(directory, "space")];
  return {
    directory,
    data,
    base: join(data, "base"),
    space,
    files: join(space, "files"),
    limit: join(directory, "limit"),
    origin: join(directory, "origin"),
  };
}

export function shortNameOf(id: InstanceId): string {
  return id.slice(-SHORT_NAME_LENGTH);
}

/** Whether an entry of `run` is named as the place of the socket of an instance is. */
export function isShortName(name: string): boolean {
  return name.length === SHORT_NAME_LENGTH && /^[0-9a-z]+$/.test(name);
}

/** What an entry of `instances` is; undefined when it is nothing of ours. */
export function readEntry(
  name: string,
): { readonly kind: "instance" | "leftover"; readonly id: InstanceId } | undefined {
  for (const prefix of [MAKING, GONE]) {
    const rest = name.slice(prefix.length);
    if (name.startsWith(prefix) && isId("ins", rest)) return { kind: "leftover", id: rest };
  }
  return isId("ins", name) ? { kind: "instance", id: name } : undefined;
}

/**
 * Whether a path is named as only this agent names things, in a directory where only it makes them:
 * an instance half made, half destroyed, or the place of its socket.
 */
export function isOwnLeftover(path: string, layout: Layout): boolean {
  const name = basename(path);
  if (dirname(path) === layout.instances) return readEntry(name)?.kind === "leftover";
  return dirname(path) === layout.run && isShortName(name);
}
