/** Runs a program to its end, as a person would in a terminal. */
import { spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { after } from "@aerodb/runtime";

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly directory?: string;
  readonly deadlineMs?: number;
  /** Called with the process as soon as it runs, for a test that signals it. */
  readonly onStart?: (pid: number) => void;
}

export const REPOSITORY = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
export const AERODB = `${REPOSITORY}/cli/bin/aerodb.mjs`;

export function run(
  program: string,
  words: readonly string[],
  options: RunOptions = {},
): Promise<Ended> {
  const deadlineMs = options.deadlineMs ?? 60_000;
  const child = spawn(program, [...words], {
    cwd: options.directory ?? REPOSITORY,
    env: { ...cleanEnvironment(), ...options.environment },
    stdio: "pipe",
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input ?? "");
  if (child.pid !== undefined) options.onStart?.(child.pid);
  return new Promise((resolve, reject) => {
    const cancel = after(deadlineMs, () => {
      child.kill("SIGKILL");
      const said = `${stdout}\n${stderr}`;
      reject(new Error(`${program} ${words.join(" ")} did not end in ${deadlineMs} ms:\n${said}`));
    });
    child.once("error", reject);
    child.once("close", (code, signal) => {
      cancel();
      resolve({ code, signal, stdout, stderr });
    });
  });
}

/**
 * The environment without what would configure AeroDB or a Postgres client behind the test's back.
 */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(AERODB_|PG|NODE_OPTIONS$|VITEST|NODE_ENV$|NO_COLOR$|FORCE_COLOR$)/.test(name),
  );
  return Object.fromEntries(kept);
}

/** Whether a program is installed and says its version, for a test that is about it. */
export function isInstalled(program: string, asked = "--version"): boolean {
  return spawnSync(program, [asked], { stdio: "ignore" }).status === 0;
}
