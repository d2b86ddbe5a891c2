/**
 * Prints `N passed, N failed` (and `, N skipped` where some were) as the very last line of a test
 * run, for whoever reads only that. A file that does not load and an error outside any test count
 * as failed.
 */
import { writeSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(
    modules: readonly TestModule[],
    errors: readonly unknown[],
    reason: "passed" | "interrupted" | "failed",
  ): void {
    const late = lateTests(modules).map((name) => `Passed only when it was tried again: ${name}\n`);
    const line = closingLine(modules, errors.length, reason);
    // At exit, so that nothing of the other reporters comes after it.
    process.once("exit", () => writeSync(1, `${late.join("")}${line}\n`));
  }
}

function lateTests(modules: readonly TestModule[]): readonly string[] {
  return modules.flatMap((module) =>
    [...module.children.allTests()]
      .filter((test) => test.diagnostic()?.flaky === true)
      .map((test) => `${module.relativeModuleId} > ${test.fullName}`),
  );
}

function closingLine(
  modules: readonly TestModule[],
  errors: number,
  reason: "passed" | "interrupted" | "failed",
): string {
  const count = { passed: 0, failed: errors, skipped: 0 };
  for (const module of modules) {
    count.failed += module.errors().length;
    for (const suite of module.children.allSuites()) count.failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      // A test that never ended was interrupted.
      count[state === "pending" ? "failed" : state] += 1;
    }
  }
  if (reason !== "passed") count.failed = Math.max(count.failed, 1);
  const skipped = count.skipped === 0 ? "" : `, ${count.skipped} skipped`;
  return `${count.passed} passed, ${count.failed} failed${skipped}`;
}
