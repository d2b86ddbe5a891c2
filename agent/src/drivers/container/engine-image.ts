/**
 * The images that instances run from: built of this machine's engines, so that no registry is
 * needed, and named by what is in them; or one that the operator names, which is looked up once and
 * then pinned. A container is always made of an image's id, never of a name that may move.
 */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { Fault } from "@aerodb/model";
import { type Engine, parseVersion, requireFloor } from "@aerodb/postgres";
import type { Logger } from "@aerodb/runtime";
import type Docker from "dockerode";
import { type ArchiveEntry, archiveOf } from "./archive.ts";
import { ask, unless } from "./docker-calls.ts";
import { engineFilesOf } from "./engine-files.ts";
import { readPin, writePin } from "./image-pin.ts";
import { markOf, recordedTag, recordTag } from "./image-record.ts";

export interface EngineImage {
  /** `sha256:…`: what containers are made of. */
  readonly id: string;
  /** Version of Postgres in it, for example `18.4`. */
  readonly version: string;
}

export interface EngineImageOptions {
  readonly docker: Docker;
  /** Where pins, and records of what images were made of, are kept. */
  readonly directory: string;
  /** An image to be used instead of building one; `{major}` stands for the major version. */
  readonly reference: string | undefined;
  /** Whether an image under the version floor is refused. */
  readonly production: boolean;
  readonly logger: Logger;
}

const REPOSITORY = "aerodb-engine";
/** On every image that we built: the version of Postgres in it. */
const ENGINE_LABEL = "aerodb.engine";
const BUILD_MS = 300_000;
const PULL_MS = 900_000;
const NOT_FOUND = 404;
const CONFLICT = 409;

export class EngineImages {
  readonly #options: EngineImageOptions;
  readonly #ready = new Map<string, Promise<EngineImage>>();

  constructor(options: EngineImageOptions) {
    this.#options = options;
  }

  /** The image for an engine, made or fetched when it is first asked for. */
  ready(engine: Engine): Promise<EngineImage> {
    const key = engine.binDirectory;
    const known = this.#ready.get(key);
    if (known !== undefined) return known;
    const { reference } = this.#options;
    const making = reference === undefined ? this.#build(engine) : this.#named(engine, reference);
    this.#ready.set(key, making);
    // What failed is tried again by whoever asks next.
    making.catch(() => this.#ready.delete(key));
    return making;
  }

  /** Somebody removed an image: the next who asks has it made or fetched again. */
  forget(engine: Engine): void {
    this.#ready.delete(engine.binDirectory);
  }

  async #build(engine: Engine): Promise<EngineImage> {
    const { directory, docker, logger } = this.#options;
    const { version } = engine;
    const recorded = await recordedTag(directory, engine);
    const same = recorded && (await this.#inspect(`${REPOSITORY}:${recorded}`));
    if (same) return { id: same.Id, version };
    const { entries, binDirectory } = await engineFilesOf(engine);
    const sources = entries.flatMap((entry) => (entry.kind === "file" ? [entry.source] : []));
    const mark = await markOf(sources);
    const tag = `${version}-${await hashOf(entries)}`;
    await recordTag(directory, engine, { tag, sources, mark });
    const name = `${REPOSITORY}:${tag}`;
    const there = await this.#inspect(name);
    if (there !== undefined) return { id: there.Id, version };

    const changes = [`ENV PATH=${binDirectory}`, `LABEL ${ENGINE_LABEL}=${version}`];
    const options = { repo: REPOSITORY, tag, changes: changes.join("\n") };
    const archive = Readable.from(archiveOf(entries));
    await this.#follow(`build ${name}`, docker.importImage(archive, options), BUILD_MS);
    const built = await this.#inspect(name);
    if (built === undefined) throw new Fault("UNAVAILABLE", `Docker built no image ${name}.`);
    logger.info({ image: name, id: built.Id }, "built an image of an engine");
    await this.#sweep(engine, built.Id);
    return { id: built.Id, version };
  }

  /** Removes what an image replaces, as far as no container is made of it. */
  async #sweep(engine: Engine, id: string): Promise<void> {
    const { docker, logger } = this.#options;
    const filters = { label: [`${ENGINE_LABEL}=${engine.version}`] };
    const ours = await ask("list images", docker.listImages({ filters: JSON.stringify(filters) }));
    for (const image of ours) {
      if (image.Id === id) continue;
      const removal = ask("remove an image", docker.getImage(image.Id).remove());
      await unless([NOT_FOUND, CONFLICT], removal);
      logger.info({ image: image.RepoTags, id: image.Id }, "removed an image that was replaced");
    }
  }

  async #named(engine: Engine, reference: string): Promise<EngineImage> {
    const { directory, logger, production } = this.#options;
    const name = reference.replaceAll("{major}", engine.major.toString());
    const pinned = await readPin(directory, name);
    if (pinned !== undefined && (await this.#inspect(pinned.id)) !== undefined) return pinned;

    const found = (await this.#inspect(name)) ?? (await this.#pull(name));
    const version = await this.#versionIn(found.Id, name);
    if (Number.parseInt(version, 10) !== engine.major) {
      const sentence = `The image ${name} holds Postgres ${version}, not ${engine.major}.`;
      throw new Fault("UNAVAILABLE", `${sentence} Name another, or one with {major} in its name.`);
    }
    const minor = Number(version.split(".")[1]);
    if (production) requireFloor({ ...engine, version, minor, binDirectory: name });
    const pin = { id: found.Id, version, digests: found.RepoDigests };
    await writePin(directory, name, pin);
    logger.info({ image: name, ...pin }, "pinned an image");
    return pin;
  }

  async #pull(name: string): Promise<Docker.ImageInspectInfo> {
    await this.#follow(`pull ${name}`, this.#options.docker.pull(name), PULL_MS);
    const pulled = await this.#inspect(name);
    if (pulled === undefined) throw new Fault("UNAVAILABLE", `Docker pulled no image ${name}.`);
    return pulled;
  }

  /** Asks the server in an image which it is. */
  async #versionIn(id: string, name: string): Promise<string> {
    const { docker } = this.#options;
    const container = await ask(
      `make a container of ${name}`,
      docker.createContainer({
        Image: id,
        Entrypoint: ["postgres"],
        Cmd: ["--version"],
        User: "65534:65534",
        HostConfig: { NetworkMode: "none", CapDrop: ["ALL"], ReadonlyRootfs: true },
      }),
    );
    try {
      await ask(`start ${name}`, container.start());
      await ask(`run ${name}`, container.wait());
      const said = await ask("show a log", container.logs({ stdout: true, stderr: true }));
      const { version } = parseVersion(said.toString("utf8")) ?? {};
      if (version !== undefined) return version;
      const words = said.toString("utf8").trim();
      throw new Fault("UNAVAILABLE", `The image ${name} has no server of Postgres: ${words}`);
    } finally {
      await ask("remove a container", container.remove({ force: true }));
    }
  }

  #inspect(name: string): Promise<Docker.ImageInspectInfo | undefined> {
    const image = this.#options.docker.getImage(name);
    return unless([NOT_FOUND], ask(`look at ${name}`, image.inspect()));
  }

  /** Waits for the end of what Docker reports line by line. */
  async #follow(
    what: string,
    call: Promise<NodeJS.ReadableStream>,
    deadlineMs: number,
  ): Promise<void> {
    const { modem } = this.#options.docker;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const begun = call.then((stream) => {
      modem.followProgress(stream, (error: Error | null) => (error ? reject(error) : resolve()));
      return promise;
    });
    await ask(what, begun, deadlineMs);
  }
}

/** Of all that is in an image, and of nothing else. */
async function hashOf(entries: readonly ArchiveEntry[]): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of archiveOf(entries)) hash.update(piece);
  return hash.digest("hex").slice(0, 12);
}
