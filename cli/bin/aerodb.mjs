#!/usr/bin/env node
// Starts the command line on the runtime it is written for. Plain JavaScript, so that an older Node
// can read it too: that one hands over to the runtime that came with `npm ci`.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import nodeModule, { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const OLDEST_NODE = 24;

/** What was compiled is kept with the code: verbs answer in half of the time. */
const COMPILE_CACHE = fileURLToPath(new URL("../../node_modules/.cache/aerodb", import.meta.url));

const major = Number(process.versions.node.split(".")[0]);
if (major >= OLDEST_NODE) {
  nodeModule.enableCompileCache(COMPILE_CACHE);
  await import("../src/main.ts");
} else handOver();

function handOver() {
  const runtime = findRuntime();
  if (runtime === undefined) {
    process.stderr.write(
      `aerodb: this is Node ${process.versions.node}; install Node ${OLDEST_NODE} or newer, ` +
        'or run "npm ci" in the repository, which brings one.\n',
    );
    process.exit(1);
  }
  const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
  const env = { NODE_COMPILE_CACHE: COMPILE_CACHE, ...process.env };
  const child = spawn(runtime, [main, ...process.argv.slice(2)], { stdio: "inherit", env });
  // A terminal sends Ctrl-C to the child as well: passing it on would make two of it.
  for (const signal of ["SIGINT", "SIGQUIT"]) {
    process.on(signal, () => process.stdin.isTTY || child.kill(signal));
  }
  for (const signal of ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"]) {
    process.on(signal, () => child.kill(signal));
  }
  child.on("error", (error) => {
    process.stderr.write(`aerodb: ${runtime} does not start: ${error.message}\n`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
  });
}

/** The runtime of the `node` package, from here upwards. */
function findRuntime() {
  const require = createRequire(import.meta.url);
  const candidates = [];
  try {
    candidates.push(join(dirname(require.resolve("node/package.json")), "bin", "node"));
  } catch {
    // Not installed as a package: perhaps there is a link to it.
  }
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    candidates.push(join(folder, "node_modules", "node", "bin", "node"));
    candidates.push(join(folder, "node_modules", ".bin", "node"));
    if (folder === dirname(folder)) break;
  }
  return candidates.find((path) => existsSync(path));
}
