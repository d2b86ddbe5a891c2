import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { readUpSettings } from "../config.ts";
import { readyText } from "./box.ts";
import { homePaths } from "./home-paths.ts";
import { agentPiece, controlPiece, gatewayPiece } from "./pieces.ts";
import { uidBlock } from "./uid-block.ts";

const paths = homePaths("/srv/a", "/srv/a/state");
const settings = readUpSettings(
  { restPort: "18080", grpcPort: "19090", pgPort: "16432", linkPort: "19091" },
  { AERODB_FAILPOINTS_AGENT: "agent.instance.cloned=kill" },
);
const uids = uidBlock("0123456789ab", 4_294_967_294);
const context = { settings, paths, uids };

describe("what the pieces are told", () => {
  test("control: the catalogue, its ports, and where tenants find the gateway", () => {
    const catalogueUrl = "postgres://u:p@/aerodb?host=/x";
    const piece = controlPiece(context, { catalogueUrl, platformKey: "k" });
    expect(piece).toMatchObject({ name: "control", logFile: "/srv/a/logs/control.log" });
    expect(piece.environment).toMatchObject({
      AERODB_CONTROL_CATALOGUE_URL: catalogueUrl,
      AERODB_CONTROL_PLATFORM_KEY: "k",
      AERODB_CONTROL_API_PORT: "19090",
      AERODB_CONTROL_LINK_PORT: "19091",
      AERODB_CONTROL_LINK_ADDRESS: "127.0.0.1:19091",
      AERODB_CONTROL_PUBLIC_PORT: "16432",
    });
    expect(piece.firstEnvironment).toBeUndefined();
  });

  test("an agent: its own home and users, and what breaks it at its first start", () => {
    const piece = agentPiece(context, 2, undefined);
    expect(piece.environment).toMatchObject({
      AERODB_AGENT_HOME: "/srv/a/state/agents/agent-2",
      AERODB_AGENT_NAME: "agent-2",
      AERODB_AGENT_API_ADDRESS: "127.0.0.1:19090",
      AERODB_AGENT_ENGINE_DIRECTORY: "/srv/a/state/engines",
      AERODB_AGENT_UID_BASE: String(uids.agent(2).base),
    });
    expect(piece.environment).not.toHaveProperty("AERODB_AGENT_JOIN_TOKEN");
    expect(piece.firstEnvironment).toEqual({
      AERODB_AGENT_FAILPOINTS: "agent.instance.cloned=kill",
    });
  });

  test("an agent: the engines of several homes, where they share them", () => {
    const shared = { AERODB_ENGINE_DIRECTORY: "/srv/engines" };
    const { engineDirectory } = readUpSettings({}, shared);
    const elsewhere = { ...context, paths: homePaths("/srv/a", "/srv/a/state", engineDirectory) };
    expect(elsewhere.paths.templates).toBe("/srv/engines/templates");
    expect(agentPiece(elsewhere, 1, undefined).environment).toMatchObject({
      AERODB_AGENT_ENGINE_DIRECTORY: "/srv/engines",
    });
  });

  test("an agent: the file that says what breaks it, at every start", () => {
    const file = { AERODB_FAILPOINTS_AGENT: "@/tmp/agent" };
    const piece = agentPiece({ ...context, settings: readUpSettings({}, file) }, 1, undefined);
    expect(piece.environment).toMatchObject({ AERODB_AGENT_FAILPOINTS: "@/tmp/agent" });
    expect(piece.firstEnvironment).toBeUndefined();
  });

  test("an agent: the driver that up was told to use, and where it finds what it needs", () => {
    expect(agentPiece(context, 1, undefined).environment).not.toHaveProperty("AERODB_AGENT_DRIVER");
    const environment = {
      AERODB_AGENT_DRIVER: "container",
      AERODB_AGENT_DOCKER_SOCKET: "/run/other.sock",
      AERODB_AGENT_IMAGE: "postgres:{major}",
    };
    const told = { ...context, settings: readUpSettings({}, { ...environment }) };
    expect(agentPiece(told, 1, undefined).environment).toMatchObject(environment);
  });

  test("the gateway: its ports and its join token, and nobody else's settings", () => {
    const { environment } = gatewayPiece(context, "token");
    expect(environment).toMatchObject({
      AERODB_GATEWAY_JOIN_TOKEN: "token",
      AERODB_GATEWAY_REST_PORT: "18080",
      AERODB_GATEWAY_PG_PORT: "16432",
    });
    const names = Object.keys(environment).filter((name) => name.startsWith("AERODB_"));
    expect(names.every((name) => name.startsWith("AERODB_GATEWAY_"))).toBe(true);
  });
});

describe("what up prints", () => {
  test("shows the key at the first start, and thereafter where it is", () => {
    const key = "adb_platform_test";
    const first = readyText(settings, {
      paths,
      platformKey: { text: key, isNew: true },
      caFile: undefined,
    });
    const later = readyText(settings, {
      paths,
      platformKey: { text: key, isNew: false },
      caFile: "/srv/a/gateway/ca.crt",
    });
    expect(first).toContain(`Authorization: Bearer ${key}"`);
    expect(later).not.toContain(key);
    expect(later).toContain('Authorization: Bearer $(cat /srv/a/platform-key)"');
    expect(later).toContain("npx aerodb --home /srv/a psql globex");
    expect(later).toMatch(/REST +http:\/\/127\.0\.0\.1:18080/);
  });

  test("names no home where verbs find it by themselves", () => {
    const here = homePaths(resolve(".aerodb"), "/srv/a/state");
    const platformKey = { text: "adb_platform_test", isNew: false };
    const text = readyText(settings, { paths: here, platformKey, caFile: undefined });
    expect(text).toContain("npx aerodb psql globex");
  });
});
