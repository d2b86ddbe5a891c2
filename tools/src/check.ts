/**
 * `npm run check`: every gate of the repository, two at a time. `npm run check -- types imports`
 * runs only those. Exits 1 when one fails, after all have run.
 */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { delimiter, join } from "node:path";
import { CHECK_STEPS, type CheckStep } from "./check-steps.ts";
import { ROOT } from "./tidy/source-file.ts";

interface StepResult {
  readonly step: CheckStep;
  readonly passed: boolean;
  readonly output: string;
  readonly seconds: number;
}

async function main(names: readonly string[]): Promise<void> {
  const known = CHECK_STEPS.map(({ name }) => name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    console.error(`There is no check ${unknown.join(", ")}. There are: ${known.join(", ")}.`);
    process.exit(2);
  }
  const startedAt = performance.now();
  const steps = CHECK_STEPS.filter(({ name }) => names.length === 0 || names.includes(name));
  const results = await runAll(steps);

  const failed = results.filter(({ passed }) => !passed).map(({ step }) => step.name);
  const seconds = secondsSince(startedAt);
  if (failed.length === 0) {
    console.log(`\nAll ${results.length} checks passed in ${seconds.toFixed(1)} s.`);
    return;
  }
  const again = `npm run check -- ${failed.join(" ")}`;
  console.log(`\n${failed.length} of ${results.length} checks failed: ${failed.join(", ")}.`);
  console.log(`Run only those again: ${again}`);
  process.exitCode = 1;
}

async function runAll(steps: readonly CheckStep[]): Promise<readonly StepResult[]> {
  const waiting = [...steps];
  const results: StepResult[] = [];
  async function work(): Promise<void> {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      const result = await runStep(step);
      results.push(result);
      print(result);
    }
  }
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
  return results;
}

async function runStep(step: CheckStep): Promise<StepResult> {
  const startedAt = performance.now();
  let output = "";
  for (const command of step.commands) {
    const run = await runCommand(command);
    output += run.output;
    if (run.passed) continue;
    return { step, passed: false, output, seconds: secondsSince(startedAt) };
  }
  return { step, passed: true, output, seconds: secondsSince(startedAt) };
}

function runCommand(
  command: readonly string[],
): Promise<{ readonly passed: boolean; readonly output: string }> {
  const [program = "", ...args] = command;
  const path = [join(ROOT, "node_modules/.bin"), process.env["PATH"]].join(delimiter);
  const child = spawn(program, args, {
    cwd: ROOT,
    env: { ...process.env, PATH: path, NO_COLOR: "1", FORCE_COLOR: undefined },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (text: Buffer) => (output += text));
  child.stderr.on("data", (text: Buffer) => (output += text));
  return new Promise((resolve) => {
    child.once("error", (error) => resolve({ passed: false, output: `${error.message}\n` }));
    child.once("close", (code) => resolve({ passed: code === 0, output }));
  });
}

function print({ step, passed, output, seconds }: StepResult): void {
  const verdict = passed ? "ok    " : "FAILED";
  console.log(
    `${verdict} ${step.name.padEnd(10)} ${seconds.toFixed(1).padStart(5)} s  ${step.heading}`,
  );
  if (!passed) {
    console.log(`\n${output.trim().replace(/^/gm, "    ")}\n\n    What to do: ${step.advice}\n`);
    return;
  }
  for (const line of output.match(/^Skipped: .*$/gm) ?? []) console.log(`       ${line}`);
}

function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1000;
}

await main(process.argv.slice(2));
