/**
 * What the links to agents and gateways need: what should be, taken from the catalogue, and what
 * was observed and used, taken into it. Everything here may be repeated and may come late.
 */
import { randomUUID } from "node:crypto";
import { Fault, type GatewayId, type HostId } from "@aerodb/model";
import { failpoint } from "@aerodb/runtime";
import { type DesiredState, readDesired } from "../store/desired.ts";
import { markGatewayConnected, markGatewayDisconnected } from "../store/gateways.ts";
import { raiseGeneration } from "../store/generation.ts";
import { type EndOf, takeDiskFull, takeServerEnds } from "../store/host-troubles.ts";
import {
  endHostSession,
  keepHostSession,
  noteHostConflict,
  startHostSession,
} from "../store/hosts.ts";
import type { ObservedReport, ServerEnd } from "../store/observed.ts";
import { takeObservedInstances } from "../store/observed-instances.ts";
import { takeObservedTenants } from "../store/observed-tenants.ts";
import { type RouteTable, readRoutes } from "../store/routes.ts";
import type { Watch } from "./changes.ts";
import type { Control } from "./control.ts";
import { type HostFacts, takeHostFacts } from "./host-facts.ts";
import { type AskedElsewhere, answerElsewhere, takeAskedElsewhere } from "./host-questions.ts";
import { requireStanding, type ShownCertificate } from "./identities.ts";
import { takeIsolationProofs } from "./isolation.ts";
import { type SentSample, takeSamples } from "./samples.ts";
import { cleanText } from "./text.ts";
import { takeUsage, type UsageEvent } from "./usage.ts";
import {
  takeWarmInstances,
  type WarmInstance,
  type WarmPolicy,
  warmPolicies,
} from "./warm-instances.ts";
import { takeWatched, type WatchedSpan } from "./watched.ts";

export type { DesiredInstance, DesiredTenant } from "../store/desired.ts";
export type { ObservedInstance, ObservedTenant, ServerEnd } from "../store/observed.ts";
export type { Endpoint, Route } from "../store/routes.ts";
export type { DesiredState, ObservedReport, RouteTable, UsageEvent, WatchedSpan };

/** What an agent says of itself when it dials. */
export interface HostHello {
  readonly agentVersion: string;
  readonly edgeAddress: string;
  readonly facts: HostFacts;
  /** Newest generation of the agent's ledger. */
  readonly generation: bigint;
}

/** A process of an agent, and what is known of where it runs. */
export interface AgentProcess {
  /** Random for each process; empty when the agent is too old to say. */
  readonly id: string;
  /** Where it dialled from. */
  readonly address: string;
  readonly edgeAddress: string;
  readonly agentVersion: string;
}

/** Two processes of agents that live with one identity. */
export interface HostConflict {
  readonly kept: AgentProcess;
  readonly refused: AgentProcess;
}

export interface Fleet {
  /**
   * A host's agent dialled. Gives the session its token. When the agent's ledger is newer than the
   * catalogue (restored from an older backup), the generation is raised above it first.
   * HOST_NOT_FOUND when the catalogue knows no such host.
   */
  hostConnected(hostId: HostId, hello: HostHello): Promise<{ readonly token: string }>;
  /** Two agents live with the identity of a host. An event; control keeps who was first. */
  hostConflicted(hostId: HostId, conflict: HostConflict): Promise<void>;
  /**
   * The session lives, and the host's clock is that far ahead of ours, if that is known. False when
   * a newer session of the host took over, or the host was revoked: end this one.
   */
  hostHeard(hostId: HostId, token: string, clockOffsetMs?: number): Promise<boolean>;
  /** The host is not what it was. False when a newer session of the host took over. */
  takeHostFacts(hostId: HostId, token: string, facts: HostFacts): Promise<boolean>;
  /** The session ended. Nothing happens when a newer one took over. */
  hostDisconnected(hostId: HostId, token: string): Promise<void>;

  /** Throws PERMISSION_DENIED when a certificate is not in force, whatever its time says. */
  requireStanding(shown: ShownCertificate): Promise<void>;
  /** Changes of what the certificates of a host or gateway are worth. */
  watchIdentity(id: string): Watch;

  watchDesired(hostId: HostId): Watch;
  /** Everything a host should hold, and the generation of that. Ordered by id. */
  desiredWhole(hostId: HostId): Promise<DesiredState>;
  /** What changed after a generation. Empty lists when nothing of this host did. */
  desiredChanges(hostId: HostId, after: bigint): Promise<DesiredState>;
  /** What a host should keep running for tenants to come. */
  warmPolicies(hostId: HostId): Promise<readonly WarmPolicy[]>;
  /** Takes in all that a host keeps running for tenants to come. */
  takeWarmInstances(hostId: HostId, ready: readonly WarmInstance[]): Promise<void>;
  watchQuestions(hostId: HostId): Watch;
  /** Takes what other controls asked of a host, each once. */
  takeAskedElsewhere(hostId: HostId, token: string): Promise<readonly AskedElsewhere[]>;
  answerElsewhere(
    id: string,
    said: { readonly answer: object } | { readonly fault: Fault },
  ): Promise<void>;
  /** Takes in what an agent observed on its own host; resolves once it is taken in for good. */
  takeObserved(hostId: HostId, report: ObservedReport): Promise<void>;

  /**
   * A gateway that the catalogue does not know is PERMISSION_DENIED. `generation` is what the
   * gateway's route table holds.
   */
  gatewayConnected(
    gatewayId: GatewayId,
    hello: { readonly version: string; readonly generation: bigint },
  ): Promise<void>;
  gatewayDisconnected(gatewayId: GatewayId): Promise<void>;
  watchRoutes(): Watch;
  /** Every route and endpoint. */
  routesWhole(): Promise<RouteTable>;
  /** Routes and endpoints that changed after a generation; those that are gone are marked. */
  routeChanges(after: bigint): Promise<RouteTable>;

  /**
   * Takes in numbered readings, each once. Those of tenants the source does not serve are refused.
   */
  takeUsage(source: HostId | GatewayId, events: readonly UsageEvent[]): Promise<void>;
  /** Takes in what a gateway found out of who can be reached. What cannot be true is refused. */
  takeWatched(gatewayId: GatewayId, spans: readonly WatchedSpan[]): Promise<void>;
  /** Takes in what a host measured, each span once. What is not its to say is dropped. */
  takeSamples(hostId: HostId, samples: readonly SentSample[]): Promise<void>;
}

/** Postgres cannot keep longer reasons usefully, nor anyone read them. */
const MAX_TEXT = 1_000;
const MAX_NUMBER = 2n ** 63n - 1n;
const MAX_NAMES = 128;
const MAX_NAME = 63;

export function openFleet(control: Control): Fleet {
  const { database, changes } = control;
  return {
    hostConnected: (hostId, hello) => connectHost(control, hostId, hello),
    hostConflicted: (hostId, conflict) => noteConflict(control, hostId, conflict),
    hostHeard: (hostId, token, clockOffsetMs) =>
      hearHost(control, { hostId, token }, clockOffsetMs),
    requireStanding: (shown) => requireStanding(control, shown),
    watchIdentity: (id) => changes.watchIdentity(id),
    takeHostFacts: (hostId, token, facts) => takeHostFacts(control, { hostId, token }, facts),
    hostDisconnected: (hostId, token) => endHostSession(database, hostId, token),
    watchDesired: (hostId) => changes.watchHost(hostId),
    desiredWhole: (hostId) => readDesired(database, hostId, 0n),
    desiredChanges: (hostId, after) => readDesired(database, hostId, after),
    warmPolicies: (hostId) => warmPolicies(control, hostId),
    takeWarmInstances: (hostId, ready) => takeWarmInstances(control, hostId, ready),
    watchQuestions: (hostId) => changes.watchQuestions(hostId),
    takeAskedElsewhere: (hostId, token) => takeAskedElsewhere(control, hostId, token),
    answerElsewhere: (id, said) => answerElsewhere(control, id, said),
    takeObserved: (hostId, report) => takeObserved(control, hostId, report),
    gatewayConnected: (gatewayId, hello) => connectGateway(control, gatewayId, hello),
    gatewayDisconnected: (gatewayId) => markGatewayDisconnected(database, gatewayId),
    watchRoutes: () => changes.watchRoutes(),
    routesWhole: () => readRoutes(database, 0n),
    routeChanges: (after) => readRoutes(database, after),
    takeUsage: (source, events) => takeUsage(control, source, events),
    takeWatched: (gatewayId, spans) => takeWatched(control, gatewayId, spans),
    takeSamples: (hostId, samples) => takeSamples(control, hostId, samples),
  };
}

async function connectHost(control: Control, hostId: HostId, hello: HostHello) {
  await raiseAbove(control, hostId, hello.generation);
  const token = randomUUID();
  // What it has first: a host that is connected can be placed on.
  const known = await takeHostFacts(control, { hostId }, hello.facts);
  const started = await startHostSession(control.database, {
    hostId,
    token,
    agentVersion: cleanText(hello.agentVersion, MAX_TEXT),
    edgeAddress: cleanText(hello.edgeAddress, MAX_TEXT),
    bootId: cleanText(hello.facts.fingerprint.bootId, MAX_TEXT),
  });
  if (known && started) return { token };
  throw new Fault("HOST_NOT_FOUND", `The catalogue knows no host ${hostId}.`);
}

function noteConflict(control: Control, hostId: HostId, conflict: HostConflict): Promise<void> {
  const [kept, refused] = [conflict.kept, conflict.refused].map((each) => ({
    address: cleanText(each.address, MAX_TEXT),
    edge_address: cleanText(each.edgeAddress, MAX_TEXT),
    agent_version: cleanText(each.agentVersion, MAX_TEXT),
  }));
  return noteHostConflict(control.database, hostId, { kept, refused });
}

async function hearHost(
  control: Control,
  session: { readonly hostId: HostId; readonly token: string },
  clockOffsetMs: number | undefined,
): Promise<boolean> {
  const kept = await keepHostSession(control.database, session, clockOffsetMs);
  const { hostId: host } = session;
  if (kept?.clockTurned === "wrong") {
    const sentence = "the clock of a host is off: check its time service";
    control.logger.warn({ host, offsetMs: clockOffsetMs }, sentence);
  }
  if (kept?.clockTurned === "right") {
    control.logger.info({ host, offsetMs: clockOffsetMs }, "the clock of a host is right again");
  }
  return kept !== undefined;
}

async function connectGateway(
  control: Control,
  gatewayId: GatewayId,
  hello: { readonly version: string; readonly generation: bigint },
): Promise<void> {
  const version = cleanText(hello.version, MAX_TEXT);
  if (!(await markGatewayConnected(control.database, gatewayId, version))) {
    throw new Fault("PERMISSION_DENIED", `The catalogue knows no gateway ${gatewayId}.`);
  }
  await raiseAbove(control, gatewayId, hello.generation);
}

/** Who holds a newer generation than the catalogue knows a catalogue that this one forgot. */
async function raiseAbove(control: Control, holder: string, generation: bigint): Promise<void> {
  if (!(await raiseGeneration(control.database, generation))) return;
  control.logger.warn(
    { holder, generation: String(generation) },
    "the catalogue is older than what was handed out from it: raised its generation",
  );
}

async function takeObserved(
  control: Control,
  hostId: HostId,
  report: ObservedReport,
): Promise<void> {
  const instances = latestOfEach(report.instances).map((each) => ({
    ...each,
    reason: cleanText(each.reason, MAX_TEXT),
    socketDirectory: cleanText(each.socketDirectory, MAX_TEXT),
    database: cleanText(each.database, MAX_TEXT),
    engine: cleanText(each.engine, MAX_TEXT),
    pendingRestart: cleanNames(each.pendingRestart),
    walls: cleanNames(each.walls),
  }));
  const tenants = latestOfEach(report.tenants).map((each) => ({
    ...each,
    reason: cleanText(each.reason, MAX_TEXT),
  }));
  await failpoint("control.observed.before_commit");
  if (instances.length > 0) await takeObservedInstances(control.database, hostId, instances);
  const absentInstances = instances.filter(({ state }) => state === "absent").map(({ id }) => id);
  await failpoint("control.observed.between_commits");
  if (tenants.length > 0 || absentInstances.length > 0) {
    await takeObservedTenants(control.database, hostId, { tenants, absentInstances });
  }
  await failpoint("control.observed.after_commit");
  await takeIsolationProofs(control, hostId, report.proofs ?? []);
  const ends = instances.flatMap(({ id, lastEnd }) => (lastEnd ? [endOf(id, lastEnd)] : []));
  if (ends.length > 0) await takeServerEnds(control.database, hostId, ends);
  if (report.diskFull !== undefined) {
    await takeDiskFull(control.database, hostId, report.diskFull);
  }
}

/** A number that the catalogue cannot hold is the highest that it can. */
function endOf(id: string, { number, hung, reason }: ServerEnd): EndOf {
  const held = number > MAX_NUMBER ? MAX_NUMBER : number;
  return { id, number: held, hung, reason: cleanText(reason, MAX_TEXT) };
}

function cleanNames(names: readonly string[]): readonly string[] {
  return names.slice(0, MAX_NAMES).map((name) => cleanText(name, MAX_NAME));
}

/**
 * What was said last of each thing, in the order of ids: rows are locked in one order everywhere.
 */
function latestOfEach<Thing extends { readonly id: string }>(things: readonly Thing[]): Thing[] {
  const byId = new Map(things.map((thing) => [thing.id, thing]));
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}
