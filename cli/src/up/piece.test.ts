import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { identifyProcess, sleep } from "@aerodb/runtime";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Piece, type PieceEvent } from "./piece.ts";

let directory: string;
let events: PieceEvent[];
let piece: Piece | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "aerodb-piece-"));
  events = [];
});
afterEach(async () => {
  await piece?.stop("SIGKILL", 1_000);
  rmSync(directory, { recursive: true });
});

/** Says on its log which process it is and what it was given, and then that it serves. */
const SERVING = `
  console.log(process.pid + " " + (process.env.ONCE ?? "-"));
  process.send({ ready: { port: 1 } });
  process.once("disconnect", () => process.exit(0));`;

function start(program: string, firstEnvironment: Record<string, string> = {}): Piece {
  const script = join(directory, "piece.mjs");
  writeFileSync(script, program);
  const logFile = join(directory, "piece.log");
  const environment = { PATH: "/bin" };
  const settings = {
    name: "piece",
    words: [script],
    directory,
    logFile,
    environment,
    firstEnvironment,
  };
  const started = new Piece(settings, (event) => events.push(event));
  started.start();
  piece = started;
  return started;
}

function logLines(): readonly string[] {
  return readFileSync(join(directory, "piece.log"), "utf8").trim().split("\n");
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(10);
}

describe("a piece", () => {
  test("serves when it says so, and tells its facts", async () => {
    const serving = start(SERVING);
    await serving.served;
    expect(serving.facts).toEqual({ port: 1 });
  });

  test("is started again when it is killed", async () => {
    await start(SERVING).served;
    const [first] = logLines();
    process.kill(Number.parseInt(first ?? "", 10), "SIGKILL");
    await until(() => events.some(({ kind }) => kind === "serves_again"));
    expect(events[0]).toMatchObject({ kind: "died", how: "was killed by SIGKILL" });
    expect(logLines()).toHaveLength(2);
  });

  test("gets what breaks it at its first start only", async () => {
    await start(SERVING, { ONCE: "armed" }).served;
    const [first = ""] = logLines();
    process.kill(Number.parseInt(first, 10), "SIGKILL");
    await until(() => events.some(({ kind }) => kind === "serves_again"));
    expect(logLines().map((line) => line.split(" ")[1])).toEqual(["armed", "-"]);
  });

  test("that never serves is given up, with what it said last", async () => {
    const failing = start(`process.stderr.write("Port 1 is taken.\\n"); process.exit(1);`);
    await expect(failing.served).rejects.toThrow(
      /^piece ended with code 1 before it served: Port 1 is taken\./,
    );
    expect(events).toHaveLength(2);
  });
});

describe("stopping", () => {
  test("does not start it again", async () => {
    const serving = start(SERVING);
    await serving.served;
    expect(await serving.stop("SIGTERM", 5_000)).toBe(true);
    await sleep(300);
    expect(events).toEqual([]);
    expect(logLines()).toHaveLength(1);
  });

  test("kills one that hangs at the deadline", async () => {
    const hanging = start(`process.on("SIGTERM", () => undefined);
      process.on("message", () => undefined); ${SERVING}`);
    await hanging.served;
    const [first = ""] = logLines();
    expect(await hanging.stop("SIGTERM", 200)).toBe(false);
    expect(identifyProcess(Number.parseInt(first, 10))).toBeUndefined();
  });

  test("is possible before it serves and between two lives", async () => {
    const failing = start("process.exit(1);");
    await until(() => events.length > 0);
    expect(await failing.stop("SIGTERM", 1_000)).toBe(true);
    await expect(failing.served).rejects.toThrow("piece was stopped");
  });
});
