/** Begins with the test files that take longest: else all wait for one of them at the end. */
import { join } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { ROOT } from "./tidy/source-file.ts";

/** What takes a minute of CPU or more, the longest first. */
const LONG: readonly string[] = [
  "test/fault/every-step.test.ts",
  "test/fault/every-change.test.ts",
  "test/fault/killed-pieces.test.ts",
  "agent/src/main.test.ts",
  "test/attack/every-major.test.ts",
  "test/attack/removed-defences.test.ts",
  "packages/postgres/src/isolation/isolation-proof.test.ts",
  "agent/src/storage/instance-store.test.ts",
].map((path) => join(ROOT, path));

export class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted(
      (one, other) => groupOf(one) - groupOf(other) || rankOf(one) - rankOf(other),
    );
  }
}

function groupOf({ project }: TestSpecification): number {
  return project.config.sequence.groupOrder;
}

function rankOf({ moduleId }: TestSpecification): number {
  const at = LONG.indexOf(moduleId);
  return at === -1 ? LONG.length : at;
}
