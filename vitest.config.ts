/**
 * The tests, in the order they run: quick ones together, then what starts servers, a few files at a
 * time. `npm run test:<project>` runs one project; `npx vitest run <path>` runs one file.
 */
import { accessSync, constants, existsSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { LongFilesFirst } from "./tools/src/long-files-first.ts";

const SECOND = 1000;

/** Made by the first test file that needs it, and gone with the run. */
const enginesDirectory = join(tmpdir(), `aerodb-engines-${crypto.randomUUID()}`);
process.once("exit", () => rmSync(enginesDirectory, { recursive: true, force: true }));
const env = {
  /** Programs that tests start are compiled once, where those of users are kept too. */
  NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules/.cache/aerodb"),
  /** Where throwaway servers find what initdb made for the first of them. */
  THROWAWAY_DIRECTORY: enginesDirectory,
};
/** Tests wait for no disk where there is memory. What measures does, as users do. */
const testEnv = { ...env, THROWAWAY_SERVERS: throwawayServers() };

/** Where throwaway servers keep their data: in memory a third of the time of the kernel goes. */
function throwawayServers(): string {
  const [memory, plentyBytes] = ["/dev/shm", 4 * 2 ** 30];
  try {
    accessSync(memory, constants.W_OK);
    const { bavail, bsize } = statfsSync(memory);
    const hasRoom = Math.min(bavail * bsize, process.availableMemory()) >= plentyBytes;
    return hasRoom ? memory : tmpdir();
  } catch {
    return tmpdir();
  }
}

/** What is polled for comes in milliseconds, or on a busy machine in seconds. */
const expectations = { poll: { timeout: 15 * SECOND } };

/**
 * Where nobody watches, what failed is tried once more: a machine that others use is late at times.
 * What needed it is named before the closing line, and is to be mended. Attacks get one try.
 */
const retry = process.env["CI"] === undefined ? 0 : 1;

/** A project whose files start real servers: little at once, and time for it. */
function heavyProject(options: {
  readonly name: string;
  readonly order: number;
  readonly maxWorkers: number;
  readonly timeoutSeconds: number;
}) {
  return {
    test: {
      name: options.name,
      env: options.name === "bench" ? env : testEnv,
      expect: expectations,
      retry: options.name === "attack" ? 0 : retry,
      provide: { enginesDirectory },
      include: [`test/${options.name}/**/*.test.ts`],
      sequence: { groupOrder: options.order },
      maxWorkers: options.maxWorkers,
      testTimeout: options.timeoutSeconds * SECOND,
      hookTimeout: 120 * SECOND,
      teardownTimeout: 30 * SECOND,
    },
  };
}

/**
 * What we know of Postgres, on each older major that is supported: the tests that start a server
 * run once more. Where npm has no such engine for this machine, they have nothing to run on.
 */
function olderMajor(major: number) {
  const name = `pg${major}`;
  return {
    test: {
      name: `postgres-${major}`,
      include: existsSync(`node_modules/${name}`) ? SERVER_TESTS : [],
      env: testEnv,
      expect: expectations,
      provide: { enginesDirectory, enginePackage: name },
      sequence: { groupOrder: 1 },
      maxWorkers: 2,
      testTimeout: 60 * SECOND,
      hookTimeout: 60 * SECOND,
    },
  };
}

const SERVER_TESTS = [
  "data-directory",
  "extensions",
  "group-holdings",
  "isolation/isolation-proof",
  "isolation/mending",
  "isolation/proof-under-locks",
  "large-objects",
  "metering",
  "postmaster",
  "scram-server",
  "shared-tables",
  "template",
  "pooled-request",
  "tenant-role",
  "tenant-settings",
  "tenant-suspend",
  "walls",
  "walls-upgrade",
  "writes-wall",
].map((name) => `packages/postgres/src/${name}.test.ts`);

export default defineConfig({
  test: {
    reporters: ["default", "./tools/src/closing-line-reporter.ts"],
    passWithNoTests: true,
    sequence: { sequencer: LongFilesFirst },
    projects: [
      {
        test: {
          name: "unit",
          env: testEnv,
          expect: expectations,
          retry,
          provide: { enginesDirectory },
          include: ["{packages,control,agent,gateway,cli,tools}/**/*.test.ts"],
          exclude: ["**/node_modules/**", "packages/rpc/gen/**"],
          sequence: { groupOrder: 0 },
          maxWorkers: 2,
          testTimeout: 40 * SECOND,
          hookTimeout: 60 * SECOND,
        },
      },
      ...[15, 16, 17].map(olderMajor),
      heavyProject({ name: "contract", order: 1, maxWorkers: 2, timeoutSeconds: 60 }),
      heavyProject({ name: "integration", order: 1, maxWorkers: 2, timeoutSeconds: 60 }),
      heavyProject({ name: "attack", order: 2, maxWorkers: 2, timeoutSeconds: 60 }),
      heavyProject({ name: "fault", order: 2, maxWorkers: 2, timeoutSeconds: 120 }),
      heavyProject({ name: "e2e", order: 2, maxWorkers: 2, timeoutSeconds: 120 }),
      // Measures instead of testing: `npm run bench`, never part of `npm test`.
      heavyProject({ name: "bench", order: 3, maxWorkers: 1, timeoutSeconds: 600 }),
    ],
  },
});
