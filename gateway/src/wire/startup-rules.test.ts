import { expect, test } from "vitest";
import { readStartupAsk } from "./startup-rules.ts";

function ask(parameters: Record<string, string>) {
  return readStartupAsk(new Map(Object.entries({ user: "u", ...parameters })));
}

test("settings of the session are passed on, whatever the case of their names", () => {
  expect(ask({ database: "d", DateStyle: "ISO", application_name: "x" })).toEqual({
    kind: "accepted",
    user: "u",
    database: "d",
    settings: new Map([
      ["datestyle", "ISO"],
      ["application_name", "x"],
    ]),
    extensions: [],
  });
});

test("without a database, the user's name is the database", () => {
  expect(ask({})).toMatchObject({ database: "u" });
});

test.each([
  "replication",
  "role",
  "session_authorization",
  "app.tenant_id",
  "ROLE",
  "row_security",
])("the startup parameter %s is refused by name", (name) => {
  expect(ask({ [name]: "x" })).toMatchObject({ kind: "refused", sqlState: "22023" });
  expect(ask({ options: `-c ${name}=x` })).toMatchObject({ kind: "refused" });
  expect(ask({ options: `--${name}=x` })).toMatchObject({ kind: "refused" });
});

test("options set settings in each of the ways Postgres knows", () => {
  const options = String.raw`-c statement_timeout=5s -clock_timeout=1 --search-path=a\ b`;
  expect(ask({ options })).toMatchObject({
    settings: new Map([
      ["statement_timeout", "5s"],
      ["lock_timeout", "1"],
      ["search_path", "a b"],
    ]),
  });
});

test("an endpoint in the options is nobody's setting, and there is one at most", () => {
  for (const options of [
    "endpoint=acme",
    "-c endpoint=acme",
    "-cendpoint=acme",
    "--endpoint=acme",
  ]) {
    expect(ask({ options: `${options} -c jit=off` })).toMatchObject({
      endpoint: "acme",
      settings: new Map([["jit", "off"]]),
    });
  }
  expect(ask({ options: "endpoint=acme -c endpoint=Acme" })).toMatchObject({ endpoint: "acme" });
  expect(ask({ options: "endpoint=acme endpoint=globex" })).toMatchObject({ kind: "refused" });
  expect(ask({ endpoint: "acme" })).toMatchObject({ kind: "refused" });
});

test.each(["-d 5", "-c", "-c x", "statement_timeout=5", "-e", "-- role=x", "-c =x"])(
  "options that are anything else are refused: %s",
  (options) => {
    expect(ask({ options })).toMatchObject({ kind: "refused" });
  },
);

test("protocol extensions are told apart and not passed on", () => {
  const accepted = ask({ "_pq_.command_hook": "1" });
  expect(accepted).toMatchObject({ extensions: ["_pq_.command_hook"], settings: new Map() });
});

test("nobody is refused as such", () => {
  expect(readStartupAsk(new Map())).toMatchObject({ kind: "refused", sqlState: "28000" });
});
