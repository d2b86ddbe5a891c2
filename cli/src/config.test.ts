import { resolve } from "node:path";
import { Fault } from "@aerodb/model";
import { describe, expect, test } from "vitest";
import {
  inheritedEnvironment,
  pieceEnvironment,
  readUpSettings,
  readVerbSettings,
} from "./config.ts";

describe("settings of up", () => {
  test("have a default for everything", () => {
    expect(readUpSettings({}, {})).toEqual({
      home: resolve(".aerodb"),
      restPort: 8080,
      grpcPort: 9090,
      pgPort: 6432,
      pgPooledPort: 6543,
      linkPort: 9091,
      agents: 1,
      region: "us-east-1",
      baseDomain: "localhost",
      logLevel: "info",
      failpointsControl: "",
      failpointsAgent: "",
      failpointsGateway: "",
    });
  });

  test("come from the environment, and flags win", () => {
    const environment = { AERODB_REST_PORT: "18080", AERODB_AGENTS: "3", AERODB_HOME: "/srv/a" };
    const settings = readUpSettings({ agents: "2" }, environment);
    expect(settings).toMatchObject({ restPort: 18_080, agents: 2, home: "/srv/a" });
  });

  test("are taken out of the environment, so that no child inherits a secret", () => {
    const environment = { AERODB_PLATFORM_KEY: "0123456789abcdef", AERODB_KEY: "k", PATH: "/bin" };
    readUpSettings({}, environment);
    expect(environment).toEqual({ PATH: "/bin" });
  });

  test.each([
    ["AERODB_RESTPORT", "8080", "AERODB_RESTPORT means nothing here"],
    ["AERODB_REST_PORT", "eighty", "AERODB_REST_PORT: must be a port from 1 to 65535"],
    ["AERODB_PG_PORT", "0", "or give --pg-port"],
    ["AERODB_AGENTS", "0", "must be a number of agents"],
    ["AERODB_PLATFORM_KEY", "short", "at least 16 characters"],
    ["AERODB_REGION", "Paris!", "AERODB_REGION"],
    ["AERODB_LOG_LEVEL", "loud", "must be one of"],
  ])("refuse %s=%s with a sentence", (name, value, sentence) => {
    expect(() => readUpSettings({}, { [name]: value })).toThrow(sentence);
    expect(() => readUpSettings({}, { [name]: value })).toThrow(Fault);
  });
});

describe("settings of the verbs", () => {
  test("leave alone what they do not know", () => {
    const environment = { AERODB_URL: "http://a:1", AERODB_SOMETHING: "x" };
    expect(readVerbSettings({}, environment)).toMatchObject({ url: "http://a:1" });
    expect(environment.AERODB_SOMETHING).toBe("x");
  });

  test("take the flag, then AERODB_KEY, then AERODB_PLATFORM_KEY", () => {
    const environment = { AERODB_KEY: "second", AERODB_PLATFORM_KEY: "third" };
    expect(readVerbSettings({ key: "first" }, environment).key).toBe("first");
    expect(readVerbSettings({}, environment).key).toBe("second");
    expect(readVerbSettings({}, { ...environment, AERODB_KEY: "" }).key).toBe("third");
  });
});

test("children inherit neither settings of ours nor of libpq or Node", () => {
  const environment = {
    PATH: "/bin",
    LC_ALL: "C",
    PGSSLMODE: "require",
    NODE_OPTIONS: "--inspect",
    AERODB_KEY: "k",
  };
  expect(inheritedEnvironment(environment)).toEqual({ PATH: "/bin", LC_ALL: "C" });
});

test("a piece alone gets its own variables, and its flags as variables", () => {
  const environment = { PATH: "/bin", AERODB_AGENT_HOME: "/a", AERODB_CONTROL_HOME: "/c" };
  expect(pieceEnvironment("agent", { joinToken: "t", name: undefined }, environment)).toEqual({
    PATH: "/bin",
    AERODB_AGENT_HOME: "/a",
    AERODB_AGENT_JOIN_TOKEN: "t",
  });
});
