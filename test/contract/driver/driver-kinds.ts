/** Makes the drivers under test, in the test's process or in one that is to be killed. */
import { silent } from "@aerodb/runtime";
import { ContainerDriver } from "../../../agent/src/drivers/container/container-driver.ts";
import type { InstanceDriver } from "../../../agent/src/drivers/driver.ts";
import { ProcessDriver } from "../../../agent/src/drivers/process/process-driver.ts";
import { EngineShelf } from "../../../agent/src/storage/engine-shelf.ts";

/** What a driver is made of: plain values, so that another process can make one too. */
export interface DriverRecipe {
  readonly kind: "process" | "container";
  readonly home: string;
  readonly engines: string;
  readonly rootPassword: string;
  readonly uidBase: number;
  readonly dockerSocket: string;
  readonly image?: string;
}

const UIDS = 100;
/** Engines are checked file by file once a process, as by an agent. */
const shelves = new Map<string, EngineShelf>();

export function openDriver(recipe: DriverRecipe, signal: AbortSignal): InstanceDriver {
  const { kind, home, uidBase, dockerSocket, image } = recipe;
  const options = {
    home,
    shelf: shelfOf(recipe),
    uids: { base: uidBase, count: UIDS },
    logger: silent,
  };
  switch (kind) {
    case "process":
      return new ProcessDriver(options);
    case "container":
      return new ContainerDriver({ ...options, dockerSocket, image, production: false, signal });
  }
}

function shelfOf({ engines: directory, rootPassword }: DriverRecipe): EngineShelf {
  const known = shelves.get(directory);
  if (known !== undefined) return known;
  const shelf = new EngineShelf({ directory, search: {}, rootPassword });
  shelves.set(directory, shelf);
  return shelf;
}
