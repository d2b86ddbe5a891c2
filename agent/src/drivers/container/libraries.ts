/** Which shared libraries of this machine a program needs, found by its own loader. */
import { execFile } from "node:child_process";
import { Fault, messageOf } from "@aerodb/model";

export interface Libraries {
  /** Where each is on this machine, the loader not among them. */
  readonly paths: readonly string[];
  /** What runs programs of this machine: the path that is written in each of them. */
  readonly loader: string;
}

const DEADLINE_MS = 20_000;
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/**
 * The libraries of programs, or of other libraries. What is not on this machine is left out: it is
 * wanted by an extension that cannot be loaded here either. Throws UNAVAILABLE without a loader.
 */
export async function librariesOf(programs: readonly string[]): Promise<Libraries> {
  const output = await linkageOf(programs);
  const named = [...output.matchAll(/^\s+\S+ => (\/.+) \(0x[0-9a-f]+\)$/gm)];
  const loaders = [...output.matchAll(/^\s+(\/\S+) (?:=> \/\S+ )?\(0x[0-9a-f]+\)$/gm)];
  const loader = loaders.map(([, path = ""]) => path).find((path) => /\/ld[-.]/.test(path));
  if (loader === undefined) {
    const sentence = `The libraries of ${programs[0]} could not be found: ldd names no loader.`;
    throw new Fault("UNAVAILABLE", `${sentence} Name an image that has Postgres in it instead.`);
  }
  const paths = new Set(named.map(([, path = ""]) => path).filter((path) => path !== loader));
  return { loader, paths: [...paths].toSorted() };
}

/** What `ldd` prints. It fails when one of many is no program, and prints all others. */
function linkageOf(programs: readonly string[]): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const options = { env: { LC_ALL: "C" }, timeout: DEADLINE_MS, maxBuffer: MAX_OUTPUT_BYTES };
  execFile("ldd", [...programs], options, (error, stdout) => {
    if (error === null || stdout !== "") return resolve(stdout);
    reject(new Fault("UNAVAILABLE", `Could not run ldd: ${messageOf(error)}`, { cause: error }));
  });
  return promise;
}
