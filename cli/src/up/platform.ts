/**
 * The whole platform on this machine, in the order in which it starts and the reverse in which it
 * stops: catalogue, control, then agents and the gateway side by side.
 */
import { mkdirSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Identity, lifeOf, loadIdentity } from "@aerodb/identity";
import {
  canChangeOwner,
  type Engine,
  findEngine,
  materializeEngine,
  type Owner,
} from "@aerodb/postgres";
import { makeHome, monotonicMs, now, sleep, within } from "@aerodb/runtime";
import type { UpSettings } from "../config.ts";
import { type Catalogue, startCatalogue } from "./catalogue.ts";
import { findDrafts } from "./drafts.ts";
import { type HomeLease, takeHome } from "./home-lease.ts";
import { agentName, type HomePaths, homePaths } from "./home-paths.ts";
import { joinTokens } from "./join-tokens.ts";
import { endPieces, endServers } from "./leftovers.ts";
import { Piece, type PieceSettings } from "./piece.ts";
import { agentPiece, controlPiece, gatewayPiece, type PieceContext } from "./pieces.ts";
import { ensurePlatformKey, type PlatformKey } from "./platform-key.ts";
import { checkPorts, wantedPorts } from "./ports.ts";
import { untilReady } from "./readiness.ts";
import type { Reporter } from "./reporter.ts";
import { hashOf, prepareStateRoot } from "./state-root.ts";
import { highestUid, uidBlock } from "./uid-block.ts";

const SERVE_MS = 60_000;
const READY_MS = 60_000;

/** How long each part of a stop may take; together less than the ten seconds a stop may take. */
const STOP = { gatewayMs: 3_500, agentsMs: 7_000, controlMs: 1_000, catalogueMs: 1_000 };
const SERVER_GRACE_MS = 400;
/** What a start may take, with much to spare. */
const START_ALLOWANCE_MS = 300_000;
/** How long a start that was called off may take to notice. */
const START_TO_END_MS = 500;

export interface StartedPlatform {
  readonly paths: HomePaths;
  readonly platformKey: PlatformKey;
  /** Of the authority that the gateway's own certificate comes from, if it made one. */
  readonly caFile: string | undefined;
}

export class Platform {
  readonly #settings: UpSettings;
  readonly #reporter: Reporter;
  #lease: HomeLease | undefined;
  #paths: HomePaths | undefined;
  #catalogue: Catalogue | undefined;
  #control: Piece | undefined;
  #agents: readonly Piece[] = [];
  #gateway: Piece | undefined;
  #startEnded: Promise<void> = Promise.resolve();

  constructor(settings: UpSettings, reporter: Reporter) {
    this.#settings = settings;
    this.#reporter = reporter;
  }

  /** Resolves when a tenant can be created. `stop` undoes what a failed start began. */
  start(signal: AbortSignal): Promise<StartedPlatform> {
    const starting = this.#start(signal);
    this.#startEnded = starting.then(
      () => undefined,
      () => undefined,
    );
    return starting;
  }

  async #start(signal: AbortSignal): Promise<StartedPlatform> {
    const paths = await this.#takeHome();
    const platformKey = ensurePlatformKey(paths.platformKey, this.#settings.platformKey);
    const catalogueUrl =
      this.#settings.catalogueUrl ?? (await this.#startCatalogue(paths, signal)).url;
    signal.throwIfAborted();
    const context = this.#context(paths);
    await this.#startControl(context, { catalogueUrl, platformKey: platformKey.text });
    signal.throwIfAborted();
    await this.#startRest(context, platformKey.text, signal);
    await this.#reporter.step("ready to create tenants", () =>
      untilReady(`http://127.0.0.1:${this.#settings.restPort}`, READY_MS, signal),
    );
    return { paths, platformKey, caFile: this.#gateway?.facts["caFile"]?.toString() };
  }

  /** Stops everything, tenants' servers included. Safe after a start that failed half-way. */
  async stop(): Promise<void> {
    // What is being started must not come after what stops it.
    await Promise.race([this.#startEnded, sleep(START_TO_END_MS)]);
    const agents = this.#agents.map((agent) => agent.stop("SIGINT", STOP.agentsMs));
    await Promise.all([this.#gateway?.stop("SIGTERM", STOP.gatewayMs), ...agents]);
    await this.#control?.stop("SIGTERM", STOP.controlMs);
    await this.#catalogue?.stop(STOP.catalogueMs);
    await this.#endLeftovers();
    this.#lease?.release();
  }

  /** Ends everything at once. `stop`, if it waits, then finds everything gone. */
  async kill(): Promise<void> {
    for (const piece of [this.#gateway, ...this.#agents, this.#control]) piece?.kill();
    await this.#catalogue?.kill();
    await this.#endLeftovers();
  }

  async #takeHome(): Promise<HomePaths> {
    const { agents, restPort, grpcPort, pgPort, pgPooledPort, linkPort } = this.#settings;
    const { engineDirectory } = this.#settings;
    makeHome(this.#settings.home);
    // Processes are recognised by the directory they work in, which the kernel knows by its real
    // path.
    const home = realpathSync(this.#settings.home);
    const ports = {
      rest: restPort,
      grpc: grpcPort,
      pg: pgPort,
      pooled: pgPooledPort,
      link: linkPort,
    };
    this.#lease = takeHome(home, { ports, agents });
    const root = prepareStateRoot(home, canChangeOwner());
    if (root.because !== undefined) {
      this.#reporter.line(`  Postgres's files are in ${root.path}: ${root.because}`);
    }
    const paths = homePaths(home, root.path, engineDirectory);
    for (const directory of [paths.logs, paths.control, paths.gateway]) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
    }
    this.#paths = paths;
    const ended = await endPieces([home, root.path]);
    if (ended > 0) this.#reporter.line(`  ${ended} processes of an earlier start are gone now`);
    await checkPorts(wantedPorts(this.#settings));
    this.#warnOfIdleAgents(paths);
    return paths;
  }

  /** Hosts of an earlier start that are left out now: their tenants do not answer. */
  #warnOfIdleAgents({ state }: HomePaths): void {
    const known = new Set(this.#agentNumbers().map(agentName));
    const directory = join(state, "agents");
    mkdirSync(directory, { recursive: true, mode: 0o711 });
    const idle = readdirSync(directory).filter((name) => !known.has(name));
    if (idle.length === 0) return;
    const flag = `--agents ${this.#settings.agents}`;
    this.#reporter.line(`! not started (${flag}), so their tenants are down: ${idle.join(", ")}`);
  }

  #agentNumbers(): readonly number[] {
    return Array.from({ length: this.#settings.agents }, (_, index) => index + 1);
  }

  async #startCatalogue(paths: HomePaths, signal: AbortSignal): Promise<Catalogue> {
    const engine = await this.#reporter.step(
      "engine",
      () => prepareEngine(paths),
      ({ version, origin }) => `Postgres ${version} (${origin})`,
    );
    const uids = uidsOf(paths.home);
    const owner: Owner | undefined =
      uids === undefined ? undefined : { uid: uids.catalogue, gid: uids.catalogue };
    const report = this.#reporter.piece.bind(this.#reporter, "catalogue");
    this.#catalogue = await this.#reporter.step(
      "catalogue",
      () => startCatalogue({ paths, engine, owner, report }, signal),
      ({ adopted }) => (adopted ? "taken over, it was running" : "running"),
    );
    return this.#catalogue;
  }

  async #startControl(
    context: PieceContext,
    given: { readonly catalogueUrl: string; readonly platformKey: string },
  ): Promise<void> {
    this.#control = this.#supervise(controlPiece(context, given));
    await this.#reporter.step("control", () => serving([this.#control as Piece]));
  }

  async #startRest(context: PieceContext, platformKey: string, signal: AbortSignal): Promise<void> {
    const { grpcPort, region } = this.#settings;
    const tokens = joinTokens(grpcPort, platformKey, signal);
    const tokenFor = (kind: "host" | "gateway", directory: string) => {
      const joined = identityIn(directory);
      if (joined === undefined) return tokens.make(kind, kind === "host" ? region : "");
      return hasExpired(joined) ? tokens.makeAgain(kind, joined.id) : undefined;
    };
    const agents = this.#agentNumbers().map(async (index) => {
      const directory = context.paths.agent(index);
      mkdirSync(directory, { recursive: true, mode: 0o711 });
      const joined = identityIn(directory);
      // Nothing can be done any more with the identity of a host that is removed.
      if (joined !== undefined && (await tokens.isRemoved(joined.id))) {
        rmSync(join(directory, "identity"), { recursive: true, force: true });
      }
      return agentPiece(context, index, await tokenFor("host", directory));
    });
    const gatewayToken = await tokenFor("gateway", context.paths.gateway);
    const agentSettings = await Promise.all(agents);
    signal.throwIfAborted();
    this.#agents = agentSettings.map((settings) => this.#supervise(settings));
    const gateway = this.#supervise(gatewayPiece(context, gatewayToken));
    this.#gateway = gateway;
    const label = this.#agents.length === 1 ? "agent" : `${this.#agents.length} agents`;
    await this.#reporter.step(`${label} and gateway`, () => serving([...this.#agents, gateway]));
  }

  #supervise(settings: PieceSettings): Piece {
    const piece = new Piece(settings, this.#reporter.piece.bind(this.#reporter, settings.name));
    piece.start();
    return piece;
  }

  #context(paths: HomePaths): PieceContext {
    return { settings: this.#settings, paths, uids: uidsOf(paths.home) };
  }

  async #endLeftovers(): Promise<void> {
    const paths = this.#paths;
    if (paths === undefined) return;
    const count = await endServers([paths.state], SERVER_GRACE_MS);
    if (count > 0) this.#reporter.line(`! ${count} processes of Postgres had to be ended`);
  }
}

async function prepareEngine(paths: HomePaths): Promise<Engine> {
  mkdirSync(paths.engines, { recursive: true, mode: 0o711 });
  // Nobody else works here yet: what was begun and not finished never will be.
  for (const draft of findDrafts(paths.state)) rmSync(draft, { recursive: true, force: true });
  return materializeEngine(await findEngine(), paths.engines);
}

function uidsOf(home: string) {
  return canChangeOwner() ? uidBlock(hashOf(home), highestUid()) : undefined;
}

function identityIn(directory: string): Identity | undefined {
  return loadIdentity(directory) ?? loadIdentity(join(directory, "identity"));
}

/** Whether it has, or will before the piece that holds it could renew it. */
function hasExpired({ certificate }: Identity): boolean {
  return lifeOf(certificate).expiresAt.getTime() < now().getTime() + START_ALLOWANCE_MS;
}

/** Waits until all serve, or until one gives up. */
async function serving(pieces: readonly Piece[]): Promise<void> {
  const startedAt = monotonicMs();
  for (const piece of pieces) {
    const ms = Math.max(1, SERVE_MS - (monotonicMs() - startedAt));
    await within({ ms, expecting: `${piece.name} to serve` }, firstOf(piece, pieces));
  }
}

/** One piece serving, unless another gives up first. */
function firstOf(piece: Piece, all: readonly Piece[]): Promise<void> {
  const refusals = all.map(({ served }) => served.then(() => piece.served));
  return Promise.race([piece.served, ...refusals]);
}
