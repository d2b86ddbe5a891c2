/** Clients that are not of Node: a program each, which prints what is well. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { usePlatform } from "../../platform.ts";
import { isInstalled, run } from "../../program.ts";
import { CLIENT_PORTS, useTenant } from "./client-ports.ts";

const platform = usePlatform();
const DEADLINE_MS = 100_000;
/** Debian's own: what it packages is not found by others. */
const PYTHON = "/usr/bin/python3";
const JDBC = "/usr/share/java/postgresql.jar";

/** Why psycopg cannot be tried; undefined when it can. */
function psycopgMissing(): string | undefined {
  const found = spawnSync(PYTHON, ["-c", "import psycopg"], { stdio: "ignore" }).status === 0;
  return found ? undefined : "psycopg 3 is not installed (Debian: python3-psycopg)";
}

function jdbcMissing(): string | undefined {
  if (!existsSync(JDBC)) return "no JDBC driver is installed (Debian: libpostgresql-jdbc-java)";
  return isInstalled("javac") ? undefined : "no Java that compiles (Debian: default-jdk-headless)";
}

describe.each(CLIENT_PORTS)("by the $name port", (port) => {
  const tenant = useTenant(platform, "languages", port);
  const keeps = port.keepsSession ? "session" : "transaction";

  test("psycopg", async (context) => {
    const reason = psycopgMissing();
    if (reason !== undefined) return context.skip(reason);
    const { uri, namedUri, caFile } = tenant();
    const script = join(import.meta.dirname, "psycopg-cases.py");
    const words = [script, uri, namedUri, caFile, keeps];
    const ended = await run(PYTHON, words, { deadlineMs: DEADLINE_MS });
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    expect(ended.stdout.trim().split("\n")).toHaveLength(port.keepsSession ? 17 : 15);
  });

  test("JDBC", async (context) => {
    const reason = jdbcMissing();
    if (reason !== undefined) return context.skip(reason);
    const { namedUri, caFile } = tenant();
    const { hostname, port: number, pathname, username, password } = new URL(namedUri);
    const script = join(import.meta.dirname, "jdbc-cases.java");
    const where = [hostname, number, pathname.slice(1), username, decodeURIComponent(password)];
    const words = ["-cp", JDBC, script, ...where, caFile, keeps];
    const ended = await run("java", words, { deadlineMs: DEADLINE_MS });
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    expect(ended.stdout.trim().split("\n")).toHaveLength(port.keepsSession ? 11 : 10);
  });
});
