/** A Debian package of the platform: all of it in one place, its units, and its settings. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { copyProductionTree } from "./production-tree.ts";

/** Where it is installed; the units and the program in `packaging` say so too. */
const HOME = "opt/aerodb";
/** What Debian calls the processors that the runtime and the engines come for. */
const ARCHITECTURE: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** What dpkg-deb is to compress with: smaller, or sooner. */
export type Compression = "zstd" | "none";

export function isCompression(text: string): text is Compression {
  return text === "zstd" || text === "none";
}

interface DebianOptions {
  readonly root: string;
  /** Where the package is put. */
  readonly directory: string;
  readonly compression: Compression;
}

/** Returns the path of the package. */
export function buildDebianPackage(options: DebianOptions): string {
  const { root, directory, compression } = options;
  const architecture = ARCHITECTURE[process.arch];
  if (architecture === undefined) throw new Error(`There is no engine for ${process.arch}.`);
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly version: string;
  };
  mkdirSync(directory, { recursive: true });
  // Beside the package: large files are linked there instead of copied.
  const tree = mkdtempSync(join(isOneFileSystem(root, directory) ? directory : tmpdir(), ".tree-"));
  try {
    chmodSync(tree, 0o755);
    layOut(root, tree);
    writeControl(root, tree, { version, architecture });
    const path = join(directory, `aerodb_${version}_${architecture}.deb`);
    const flags = ["--root-owner-group", `-Z${compression}`, "--build", tree, path];
    execFileSync("dpkg-deb", flags, { stdio: ["ignore", "ignore", "inherit"] });
    return path;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

function layOut(root: string, tree: string): void {
  copyProductionTree(root, join(tree, HOME));
  const packaging = join(root, "packaging");
  put(join(packaging, "aerodb.sh"), join(tree, "usr/bin/aerodb"), 0o755);
  put(join(packaging, "stop-agent.sh"), join(tree, HOME, "packaging/stop-agent"), 0o755);
  for (const name of readdirSync(join(packaging, "systemd"))) {
    put(join(packaging, "systemd", name), join(tree, "usr/lib/systemd/system", name), 0o644);
  }
  // They are for secrets: read by root, which hands them to the services.
  for (const name of readdirSync(join(packaging, "etc"))) {
    put(join(packaging, "etc", name), join(tree, "etc/aerodb", name), 0o600);
  }
  put(join(root, "LICENSE"), join(tree, "usr/share/doc/aerodb/copyright"), 0o644);
}

function writeControl(
  root: string,
  tree: string,
  facts: { readonly version: string; readonly architecture: string },
): void {
  const from = join(root, "packaging", "debian");
  const text = readFileSync(join(from, "control.txt"), "utf8")
    .replace("@version@", facts.version)
    .replace("@architecture@", facts.architecture)
    .replace("@size@", String(Math.ceil(bytesIn(tree) / 1_024)));
  mkdirSync(join(tree, "DEBIAN"), { recursive: true });
  writeFileSync(join(tree, "DEBIAN", "control"), text);
  const settings = readdirSync(join(root, "packaging", "etc")).sort();
  const conffiles = settings.map((name) => `/etc/aerodb/${name}\n`).join("");
  writeFileSync(join(tree, "DEBIAN", "conffiles"), conffiles);
  for (const name of ["postinst", "prerm", "postrm"]) {
    put(join(from, `${name}.sh`), join(tree, "DEBIAN", name), 0o755);
  }
}

function put(from: string, to: string, mode: number): void {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
  chmodSync(to, mode);
}

function bytesIn(directory: string): number {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).reduce(
    (sum, path) => sum + lstatSync(join(directory, path)).size,
    0,
  );
}

function isOneFileSystem(first: string, second: string): boolean {
  return lstatSync(first).dev === lstatSync(second).dev;
}
