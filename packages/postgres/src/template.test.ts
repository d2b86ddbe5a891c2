import { execFile } from "node:child_process";
import {
  appendFile,
  mkdir,
  readdir,
  readFile,
  readlink,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import {
  copyTemplate,
  copyTree,
  giveTree,
  individualize,
  templateFiles,
} from "./data-directory.ts";
import { pointTablespace, tablespaceLink } from "./tablespace.ts";
import { ensureTemplate } from "./template.ts";
import { sumOfPrograms } from "./template-seal.ts";
import { ROOT_PASSWORD, type ThrowawayHome, throwawayHome } from "./throwaway-instance.ts";

// Templates are made with initdb.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const run = promisify(execFile);
let home: ThrowawayHome;
let template: string;

function ensure(): Promise<string> {
  const options = { rootPassword: ROOT_PASSWORD, tablespace: true };
  return ensureTemplate(home.engine, join(home.directory, "templates"), options);
}

beforeAll(async () => {
  home = await throwawayHome();
  template = await ensure();
});
afterAll(() => home.remove());

test("the database of a template is in a tablespace beside the data", async () => {
  expect(template).not.toBe(home.template);
  expect(await readdir(join(template, "base"))).toEqual([]);
  const [version = ""] = await readdir(templateFiles(template));
  expect(version).toMatch(`PG_${home.engine.major}_`);
  const link = await tablespaceLink(template);
  expect(await readlink(join(template, link ?? ""))).toBe(templateFiles(template));
  expect(await tablespaceLink(home.template)).toBeUndefined();
});

test.each(["changed", "added", "removed"])(
  "a template with a file %s is made anew",
  async (how) => {
    const sealed = await readFile(join(dirname(template), "manifest.json"), "utf8");
    const victim = join(template, "PG_VERSION");
    if (how === "changed") await appendFile(victim, "x");
    if (how === "added") await writeFile(join(template, "base", "extra"), "");
    if (how === "removed") await run("rm", [join(template, "global", "pg_control")]);
    expect(await ensure()).toBe(template);
    expect(await readFile(victim, "utf8")).toBe(`${home.engine.major}\n`);
    expect(await readdir(join(template, "base"))).toEqual([]);
    expect(await readFile(join(dirname(template), "manifest.json"), "utf8")).not.toBe(sealed);
    const beside = await readdir(join(home.directory, "templates"));
    expect(beside.filter((name) => name.startsWith("."))).toEqual([]);
  },
);

test("other programs of the same version want another template", async () => {
  const binDirectory = join(home.directory, "bin");
  await mkdir(binDirectory);
  for (const name of ["postgres", "initdb"]) await writeFile(join(binDirectory, name), name);
  const engine = { ...home.engine, binDirectory };
  const before = await sumOfPrograms(engine);
  await appendFile(join(binDirectory, "postgres"), "patched");
  expect(await sumOfPrograms(engine)).not.toBe(before);
});

test("a copy of a template finds its own files wherever it goes", async () => {
  const directory = join(home.directory, "copy");
  await mkdir(directory);
  const place = { data: join(directory, "data"), files: join(directory, "files") };
  await copyTemplate(template, place, home.owner);
  await individualize(place.data);
  const link = join(place.data, (await tablespaceLink(place.data)) ?? "");
  expect(await readlink(link)).toBe(place.files);
  await Promise.all([pointTablespace(place.data, "/a"), pointTablespace(place.data, "/a")]);
  expect(await readlink(link)).toBe("/a");
});

test("what is neither file nor folder is not copied, and links are not followed", async () => {
  const [from, to, outside] = ["from", "to", "outside"].map((name) => join(home.directory, name));
  if (from === undefined || to === undefined || outside === undefined) throw new Error("bug");
  for (const path of [from, to, outside]) await mkdir(path);
  await writeFile(join(outside, "secret"), "");
  await writeFile(join(from, "file"), "");
  await symlink(outside, join(from, "link"));
  await symlink(join(outside, "secret"), join(from, "link-to-file"));
  await run("mkfifo", [join(from, "pipe")]);
  await copyTree(from, to);
  expect(await readdir(to)).toEqual(["file"]);
  if (home.owner === undefined) return;
  await giveTree(from, home.owner);
  expect((await stat(join(from, "file"))).uid).toBe(home.owner.uid);
  for (const path of [outside, join(outside, "secret")]) {
    expect((await stat(path)).uid).toBe(process.geteuid?.());
  }
});

test("a data directory whose links were replaced is refused", async () => {
  const data = join(home.directory, "odd");
  await mkdir(data);
  await symlink(home.directory, join(data, "pg_tblspc"));
  await expect(pointTablespace(data, "/a")).rejects.toThrow(/not as the platform made it/);
});
