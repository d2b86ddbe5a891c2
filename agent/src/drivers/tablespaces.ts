import { realpath } from "node:fs/promises";
import type { InstancePlace } from "../storage/layout.ts";
import { exists, volumePlaceOf } from "../storage/volume.ts";

/** Directories outside the data in which a server keeps tables, by the paths that it knows. */
export async function tablespacesOf(place: InstancePlace): Promise<readonly string[]> {
  const directories = [place.files, volumePlaceOf(place.space).files];
  const there = await Promise.all(directories.map(exists));
  return Promise.all(directories.filter((_, at) => there[at]).map((path) => realpath(path)));
}
