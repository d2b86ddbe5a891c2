import { expect, test } from "vitest";
import { readControlConfiguration } from "./config.ts";

const CATALOGUE = { AERODB_CONTROL_CATALOGUE_URL: "postgres://localhost/aerodb" };

test("only the catalogue must be named", () => {
  expect(readControlConfiguration({ ...CATALOGUE })).toMatchObject({
    apiPort: 9_090,
    linkPort: 9_091,
    listenAddress: "127.0.0.1",
    names: [],
    publicPort: 6_432,
    publicPooledPort: 6_543,
  });
  expect(() => readControlConfiguration({})).toThrow("AERODB_CONTROL_CATALOGUE_URL");
});

test("what is read is taken out of the environment", () => {
  const environment = { ...CATALOGUE, AERODB_CONTROL_PLATFORM_KEY: "a-key-of-16-characters" };
  readControlConfiguration(environment);
  expect(environment).toEqual({});
});

test("names are separated by commas", () => {
  const given = { ...CATALOGUE, AERODB_CONTROL_NAMES: "control.example.com, 203.0.113.7" };
  expect(readControlConfiguration(given).names).toEqual(["control.example.com", "203.0.113.7"]);
});

test("a setting that does not exist and a port that is none are refused", () => {
  const misspelt = { ...CATALOGUE, AERODB_CONTROL_APPI_PORT: "1" };
  expect(() => readControlConfiguration(misspelt)).toThrow("AERODB_CONTROL_APPI_PORT");
  const large = { ...CATALOGUE, AERODB_CONTROL_API_PORT: "70000" };
  expect(() => readControlConfiguration(large)).toThrow("AERODB_CONTROL_API_PORT");
});
