/** The Debian package: built, unpacked, and the platform run from it as it was unpacked. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { platformOfThisTest } from "../platform.ts";
import { cleanEnvironment, isInstalled, REPOSITORY, run } from "../program.ts";

const withoutDpkg = !isInstalled("dpkg-deb");
const UNITS = ["aerodb-agent", "aerodb-control", "aerodb-gateway"];

describe.skipIf(withoutDpkg)("the Debian package (needs dpkg-deb)", () => {
  let directory: string;
  let tree: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "aerodb-package-"));
    const words = [`${REPOSITORY}/tools/src/package.ts`, directory, "none"];
    const built = await run(process.execPath, words, { deadlineMs: 230_000 });
    expect(built).toMatchObject({ code: 0, stderr: "" });
    const path = built.stdout.trim();
    tree = join(directory, "root");
    execFileSync("dpkg-deb", ["--extract", path, tree]);
    execFileSync("dpkg-deb", ["--control", path, join(directory, "control")]);
  }, 240_000);
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const home = (): string => join(tree, "opt/aerodb");
  const node = (): string => join(home(), "node_modules/node/bin/node");
  const aerodb = (): string => join(home(), "cli/bin/aerodb.mjs");

  test("it says its version and its settings, with the runtime it brought", async () => {
    const version = await run(node(), [aerodb(), "--version"], { directory: "/" });
    expect(version).toMatchObject({ code: 0, stdout: "0.1.0\n", stderr: "" });
    const help = await run(node(), [aerodb(), "agent", "--help"], { directory: "/" });
    expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining("--join-token") });
  });

  test("the platform runs from it, and serves a tenant of its own", async () => {
    const platform = await platformOfThisTest({ program: { node: node(), aerodb: aerodb() } });
    const tenant = await platform.createTenant({ name: "packaged", plan: "pro" });
    const client = await platform.connect(tenant.connection.uri);
    expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    const [process] = platform.pids("agents");
    expect(readFileSync(`/proc/${process}/cmdline`, "utf8")).toContain(
      `${home()}/agent/src/main.ts`,
    );
    await platform.stop();
  });

  test("what its runtime is linked to is in packages that it depends on", () => {
    const control = readFileSync(join(directory, "control", "control"), "utf8");
    const depends = /^Depends: (.*)$/m.exec(control)?.[1]?.split(", ") ?? [];
    const names = depends.map((each) => each.split(" ")[0]);
    const linked = execFileSync("ldd", [node()], { encoding: "utf8" });
    const libraries = [...linked.matchAll(/^\s*(\S+) => \//gm)].map(([, library]) => library);
    expect(libraries).not.toEqual([]);
    for (const library of libraries) {
      const found = spawnSync("dpkg-query", ["--search", `*/${library}`], { encoding: "utf8" });
      const owners = found.stdout.split("\n").map((line) => line.split(":")[0]);
      expect(
        owners.some((owner) => names.includes(owner)),
        library,
      ).toBe(true);
    }
  });

  test("it brings neither tests nor tools, and its settings are root's alone", () => {
    const names = readdirSync(home(), { recursive: true, encoding: "utf8" });
    const ours = names.filter((name) => !name.includes("node_modules"));
    expect(ours.filter((name) => /\.test\.ts$|(^|\/)(fake|throwaway)-/.test(name))).toEqual([]);
    for (const name of ["vitest", "typescript", "@biomejs"]) {
      expect(readdirSync(join(home(), "node_modules"))).not.toContain(name);
    }
    for (const name of ["agent.env", "control.env", "gateway.env"]) {
      expect(statSync(join(tree, "etc/aerodb", name)).mode & 0o777).toBe(0o600);
    }
    const conffiles = readFileSync(join(directory, "control", "conffiles"), "utf8");
    expect(conffiles.split("\n")).toContain("/etc/aerodb/agent.env");
  });

  test("installing it starts nothing, and removing it touches no data", () => {
    for (const name of ["postinst", "prerm", "postrm"]) {
      const path = join(directory, "control", name);
      expect(spawnSync("sh", ["-n", path]).status).toBe(0);
      const text = readFileSync(path, "utf8");
      expect(text).not.toMatch(
        /\b(rm|userdel|adduser|useradd|chown)\b -|enable --now|systemctl start/,
      );
    }
  });

  test.skipIf(!isInstalled("systemd-analyze"))(
    "systemd understands every line of its units (needs systemd-analyze)",
    () => {
      // The programs they start are looked for where the package was unpacked.
      const units = join(directory, "units");
      mkdirSync(units);
      for (const name of UNITS) {
        const from = join(tree, "usr/lib/systemd/system", `${name}.service`);
        const text = readFileSync(from, "utf8")
          .replaceAll("/usr/bin/aerodb", `${tree}/usr/bin/aerodb`)
          .replaceAll("/opt/aerodb/", `${home()}/`);
        writeFileSync(join(units, `${name}.service`), text);
      }
      const paths = UNITS.map((name) => join(units, `${name}.service`));
      const { status, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", ...paths], {
        encoding: "utf8",
        env: { ...cleanEnvironment(), SYSTEMD_UNIT_PATH: `${units}:` },
      });
      expect([status, stderr]).toEqual([0, ""]);
    },
  );

  test("the unit of the agent leaves servers alone and keeps one view of the mounts", () => {
    const path = join(tree, "usr/lib/systemd/system/aerodb-agent.service");
    const text = readFileSync(path, "utf8");
    expect(text).toMatch(/^KillMode=process$/m);
    expect(text).toMatch(/^Delegate=yes$/m);
    // Each of these would give the agent a mount namespace of its own.
    const own =
      /^(Private(Tmp|Devices|Mounts)|Protect\w+|(ReadOnly|ReadWrite|Inaccessible)Paths)=/m;
    expect(text).not.toMatch(own);
  });
});
