import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readConfig, readLogLevel } from "./config.ts";

test.each([
  [{}, "AERODB_AGENT_API_ADDRESS: name control, as in --control"],
  [{ AERODB_AGENT_API_ADDRESS: "foo" }, "AERODB_AGENT_API_ADDRESS: must be host:port"],
  [{ AERODB_AGENT_NAME: "Mach 2!" }, "AERODB_AGENT_NAME: must be 63 letters, digits"],
  [{ AERODB_AGENT_HOME: "" }, "AERODB_AGENT_HOME is not set, and has no default."],
])("%j is refused with what to give instead", (given, sentence) => {
  const right = { AERODB_AGENT_HOME: "/h", AERODB_AGENT_API_ADDRESS: "control.example.com:9090" };
  expect(readConfig({ ...right }).apiAddress).toBe("control.example.com:9090");
  const base = Object.keys(given).length === 0 ? { AERODB_AGENT_HOME: "/h" } : right;
  expect(() => readConfig({ ...base, ...given })).toThrow(sentence);
});

test("of a settings file the log level is read again, in every way systemd takes it", () => {
  const directory = mkdtempSync(join(tmpdir(), "agent-settings-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "agent.env");
  const levelOf = (text: string): string | undefined => {
    writeFileSync(file, text);
    return readLogLevel(file);
  };
  expect(levelOf("A=1\nAERODB_AGENT_LOG_LEVEL=debug\n")).toBe("debug");
  expect(levelOf('AERODB_AGENT_LOG_LEVEL="warn"')).toBe("warn");
  expect(levelOf("#AERODB_AGENT_LOG_LEVEL=debug\n")).toBeUndefined();
  expect(levelOf("AERODB_AGENT_LOG_LEVEL=loud\n")).toBeUndefined();
});
