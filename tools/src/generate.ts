/**
 * `npm run generate`: writes everything in the repository that is made from something else. With
 * `--check` it writes nothing and fails when a file is not what it would write.
 */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { tenantDiagram } from "@aerodb/model";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { openApiDocument } from "./openapi.ts";
import { ROOT } from "./tidy/source-file.ts";

/** Contents by path. */
type Files = ReadonlyMap<string, string>;

const STUBS = "packages/rpc/gen";
/** The control server's own printer of its catalogue: prints schema.sql to its output. */
const SCHEMA_PRINTER = "control/src/store/print-schema.ts";

function main(mode: "write" | "check"): void {
  const folder = mkdtempSync(join(tmpdir(), "generate-"));
  try {
    const files = new Map([
      ...stubs(folder),
      ["docs/api/openapi.json", openApi(folder)],
      ["docs/state-machines.md", stateMachines()],
      ...catalogueSchema(),
    ]);
    const stale = staleFiles(files);
    if (mode === "write") write(files, stale);
    else if (stale.length > 0) refuse(stale);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The stubs of the contracts, generated aside so that nobody meets a half-written folder. */
function stubs(folder: string): Files {
  run("buf", ["generate", "--output", folder]);
  return new Map(
    filesIn(join(folder, STUBS)).map((path) => [
      `${STUBS}/${path}`,
      readFileSync(join(folder, STUBS, path), "utf8"),
    ]),
  );
}

function openApi(folder: string): string {
  const image = join(folder, "image.binpb");
  run("buf", ["build", "--output", image]);
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(image)));
  const files = [...registry.files].filter(({ name }) => name.startsWith("aerodb/control/"));
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    readonly version: string;
  };
  return openApiDocument(files, version);
}

function stateMachines(): string {
  return [
    "# State machines",
    "",
    "Written by `npm run generate` from the tables in `packages/model`; not edited.",
    "",
    "## Tenant",
    "",
    "```mermaid",
    tenantDiagram(),
    "```",
    "",
  ].join("\n");
}

function catalogueSchema(): Files {
  if (!existsSync(join(ROOT, SCHEMA_PRINTER))) return new Map();
  return new Map([["control/schema.sql", run("node", [SCHEMA_PRINTER])]]);
}

function staleFiles(files: Files): readonly string[] {
  const changed = [...files].filter(([path, text]) => {
    const full = join(ROOT, path);
    return !existsSync(full) || readFileSync(full, "utf8") !== text;
  });
  const left = filesIn(join(ROOT, STUBS)).map((path) => `${STUBS}/${path}`);
  return [...changed.map(([path]) => path), ...left.filter((path) => !files.has(path))];
}

function write(files: Files, stale: readonly string[]): void {
  for (const path of stale) {
    const full = join(ROOT, path);
    const text = files.get(path);
    if (text === undefined) rmSync(full);
    else {
      mkdirSync(dirname(full), { recursive: true });
      writeFileSync(full, text);
    }
    console.log(`${text === undefined ? "removed" : "wrote"} ${path}`);
  }
  console.log(`${files.size} generated files, ${stale.length} of them changed.`);
}

function refuse(stale: readonly string[]): void {
  for (const path of stale) console.error(`${path} is not what its source says.`);
  process.exitCode = 1;
}

function filesIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

function run(program: string, args: readonly string[]): string {
  const path = [join(ROOT, "node_modules/.bin"), process.env["PATH"]].join(delimiter);
  const env = { ...process.env, PATH: path };
  return execFileSync(program, args, { cwd: ROOT, encoding: "utf8", env, maxBuffer: 2 ** 26 });
}

main(process.argv.includes("--check") ? "check" : "write");
