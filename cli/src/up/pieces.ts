/**
 * What each piece is started with: the settings of `up`, as each piece's configuration reads them.
 */
import { inheritedEnvironment, type UpSettings, upperSnake } from "../config.ts";
import { agentName, type HomePaths } from "./home-paths.ts";
import type { PieceSettings } from "./piece.ts";
import { flagsOf, runtimeEnvironment, scriptOf } from "./piece-program.ts";
import type { UidBlock } from "./uid-block.ts";

export interface PieceContext {
  readonly settings: UpSettings;
  readonly paths: HomePaths;
  /** Undefined when this process cannot give files to other users. */
  readonly uids: UidBlock | undefined;
}

const LOOPBACK = "127.0.0.1";

export function controlPiece(
  context: PieceContext,
  given: { readonly catalogueUrl: string; readonly platformKey: string },
): PieceSettings {
  const { settings, paths } = context;
  return piece(context, {
    kind: "control",
    name: "control",
    directory: paths.control,
    failpoints: settings.failpointsControl,
    values: {
      home: paths.control,
      catalogueUrl: given.catalogueUrl,
      platformKey: given.platformKey,
      apiPort: settings.grpcPort,
      linkPort: settings.linkPort,
      linkAddress: `${LOOPBACK}:${settings.linkPort}`,
      listenAddress: LOOPBACK,
      baseDomain: settings.baseDomain,
      publicHost: LOOPBACK,
      publicPort: settings.pgPort,
      publicPooledPort: settings.pgPooledPort,
      warmInstances: settings.warmInstances,
      unreachableSeconds: settings.unreachableSeconds,
      metricsPort: settings.controlMetricsPort,
      invoiceGraceDays: settings.invoiceGraceDays,
      quotaGraceHours: settings.quotaGraceHours,
      invoiceIssuer: settings.invoiceIssuer,
      stripeKey: settings.stripeKey,
      stripeUrl: settings.stripeUrl,
    },
  });
}

export function agentPiece(
  context: PieceContext,
  index: number,
  joinToken: string | undefined,
): PieceSettings {
  const { settings, paths, uids } = context;
  const range = uids?.agent(index);
  return piece(context, {
    kind: "agent",
    name: agentName(index),
    directory: paths.agent(index),
    failpoints: settings.failpointsAgent,
    values: {
      home: paths.agent(index),
      apiAddress: `${LOOPBACK}:${settings.grpcPort}`,
      joinToken,
      name: agentName(index),
      engineDirectory: paths.engines,
      edgeListenAddress: LOOPBACK,
      driver: settings.agentDriver,
      dockerSocket: settings.agentDockerSocket,
      image: settings.agentImage,
      checkSeconds: settings.agentCheckSeconds,
      hungAfterSeconds: settings.agentHungAfterSeconds,
      uidBase: range?.base,
      uidCount: range?.count,
    },
  });
}

export function gatewayPiece(context: PieceContext, joinToken: string | undefined): PieceSettings {
  const { settings, paths } = context;
  return piece(context, {
    kind: "gateway",
    name: "gateway",
    directory: paths.gateway,
    failpoints: settings.failpointsGateway,
    values: {
      home: paths.gateway,
      apiAddress: `${LOOPBACK}:${settings.grpcPort}`,
      joinToken,
      name: "gateway",
      restPort: settings.restPort,
      pgPort: settings.pgPort,
      pgPooledPort: settings.pgPooledPort,
      watchSeconds: settings.gatewayWatchSeconds,
      listenAddress: LOOPBACK,
      baseDomain: settings.baseDomain,
    },
  });
}

interface PieceDraft {
  readonly kind: "control" | "agent" | "gateway";
  readonly name: string;
  readonly directory: string;
  readonly failpoints: string;
  readonly values: Readonly<Record<string, string | number | undefined>>;
}

function piece(context: PieceContext, draft: PieceDraft): PieceSettings {
  const prefix = `AERODB_${draft.kind.toUpperCase()}_`;
  const values = { ...draft.values, logLevel: context.settings.logLevel };
  const own = Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => [prefix + upperSnake(key), String(value)]);
  const failpoints = { [`${prefix}FAILPOINTS`]: draft.failpoints };
  // That file goes when the step is reached: all who come may look for it.
  const isFile = draft.failpoints.startsWith("@");
  return {
    name: draft.name,
    words: [...flagsOf(draft.kind), scriptOf(draft.kind)],
    directory: draft.directory,
    logFile: context.paths.log(draft.name),
    environment: {
      ...inheritedEnvironment(),
      ...runtimeEnvironment(draft.kind),
      ...Object.fromEntries(own),
      ...(isFile ? failpoints : {}),
    },
    // A step that breaks a process is broken once: what replaces it is to recover.
    ...(draft.failpoints === "" || isFile ? {} : { firstEnvironment: failpoints }),
  };
}
