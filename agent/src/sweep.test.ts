/** Sweeps of real directories and processes; servers are the fake's. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { InstanceId } from "@aerodb/model";
import { canChangeOwner } from "@aerodb/postgres";
import { SweepRequestSchema } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { newId, silent, within } from "@aerodb/runtime";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test } from "vitest";
import { takeAudit } from "./audit.ts";
import type { Survey } from "./drivers/driver.ts";
import { FakeHost } from "./drivers/fake-host.ts";
import { takeSurvey } from "./drivers/survey.ts";
import { Host } from "./host.ts";
import { sampleInstance, sampleTenant } from "./sample-desired.ts";
import { layoutOf, placeOf } from "./storage/layout.ts";
import { putMark } from "./storage/own-mark.ts";
import { removeTree } from "./storage/remove-tree.ts";
import { setAside } from "./storage/set-aside.ts";
import { markListed, sweep } from "./sweep.ts";

/** Servers in memory, over directories that are really there. */
class DirectoryHost extends FakeHost {
  override survey(): Promise<Survey> {
    return takeSurvey(layoutOf(home), new Set());
  }

  override async setAside(id: InstanceId, to: string): Promise<void> {
    await super.setAside(id, to);
    const { directory } = placeOf(layoutOf(home), id);
    if (existsSync(directory)) await setAside(directory, to);
  }
}

let home: string;
let machine: DirectoryHost;
let host: Host;
let life: AbortController;
let children: ChildProcess[];

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "agent-sweep-"));
  machine = new DirectoryHost({ room: 10 });
  life = new AbortController();
  const { signal } = life;
  host = new Host({ home, driver: machine, tenants: () => machine, logger: silent, signal });
  children = [];
  mkdirSync(layoutOf(home).run, { recursive: true });
  mkdirSync(layoutOf(home).instances, { recursive: true });
  await host.start();
});

afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  life.abort();
  await host.reconciler.idle();
  host.close();
  rmSync(home, { recursive: true });
});

const ports = () => ({ ...host, logger: silent });

/** What became of each thing: its reason, or "removed". */
async function sweptOf(order: MessageInitShape<typeof SweepRequestSchema>) {
  const report = await sweep(ports(), create(SweepRequestSchema, order));
  return Object.fromEntries([
    ...report.removed.map((subject) => [subject, "removed"] as const),
    ...report.keptSubjects.map((subject, index) => [subject, report.kept[index]] as const),
  ]);
}

/** Data of an instance that nobody ordered; marked as this home's unless told otherwise. */
async function plant(options: { readonly marked: boolean } = { marked: true }) {
  const id = newId("ins") as InstanceId;
  const { directory, data } = placeOf(layoutOf(home), id);
  mkdirSync(data, { recursive: true });
  writeFileSync(join(data, "rows"), "of a customer");
  if (options.marked) await putMark(directory, home);
  return { id, directory, data };
}

function trash(): readonly string[] {
  return existsSync(join(home, "trash")) ? readdirSync(join(home, "trash")) : [];
}

function spawnIn(directory: string, words = ["sleep", "300"]): number {
  const [program = "", ...rest] = words;
  const child = spawn(program, rest, { cwd: directory, stdio: "ignore" });
  children.push(child);
  return child.pid ?? expect.fail("no process");
}

test.each([
  ["a pipe", (path: string) => execFileSync("mkfifo", [path])],
  ["a link to what never ends", (path: string) => symlinkSync("/dev/zero", path)],
])("%s in place of a server's pid holds up no audit", async (_what, put) => {
  const orphan = await plant();
  put(join(orphan.data, "postmaster.pid"));
  const audit = await within({ ms: 2_000, expecting: "the audit" }, takeAudit(ports(), 1n));
  expect(audit.instances).toMatchObject([{ instanceId: orphan.id, postmasterPid: 0 }]);
});

test("an orphan's data is moved into the trash, and deleted only when that is ordered", async () => {
  const orphan = await plant();
  expect(await sweptOf({ instanceIds: [orphan.id] })).toEqual({ [orphan.id]: "removed" });
  expect(existsSync(orphan.directory)).toBe(false);
  const [name = ""] = trash();
  const path = join(home, "trash", name);
  expect(name).toMatch(new RegExp(`^\\d{8}T\\d{6}Z-${orphan.id}$`));
  expect(existsSync(join(path, "data", "rows"))).toBe(true);

  const audit = await takeAudit(ports(), 1n);
  expect(audit.trashPaths).toEqual([path]);
  expect(audit.strayPaths).toEqual([]);
  expect(await sweptOf({ instanceIds: [orphan.id] })).toEqual({
    [orphan.id]: "It is not there any more.",
  });
  expect(await sweptOf({ trashPaths: [path] })).toEqual({ [path]: "removed" });
  expect(trash()).toEqual([]);
});

test("what carries no mark, or another home's, is kept", async () => {
  const unmarked = await plant({ marked: false });
  const foreign = await plant({ marked: false });
  writeFileSync(join(foreign.directory, "mark"), `${"0".repeat(32)}\n`);
  const audit = await takeAudit(ports(), 1n);
  expect(audit.instances.map((each) => each.foreign)).toEqual([true, true]);
  const swept = await sweptOf({ instanceIds: [unmarked.id, foreign.id, "../../etc"] });
  expect(swept[unmarked.id]).toContain("does not carry the mark");
  expect(swept[foreign.id]).toContain("does not carry the mark");
  expect(swept["../../etc"]).toContain("is no id of an instance");
  expect(existsSync(unmarked.data) && existsSync(foreign.data)).toBe(true);
});

test.skipIf(!canChangeOwner())("what somebody has mounted in an orphan is left alone", async () => {
  const orphan = await plant();
  const at = join(orphan.data, "theirs");
  mkdirSync(at);
  execFileSync("mount", ["-t", "tmpfs", "none", at]);
  try {
    writeFileSync(join(at, "rows"), "of somebody");
    expect((await takeAudit(ports(), 1n)).instances).toMatchObject([{ foreign: true }]);
    const swept = await sweptOf({ instanceIds: [orphan.id] });
    expect(swept[orphan.id]).toContain(`Something is mounted at ${at}`);
    await expect(removeTree(orphan.directory)).rejects.toThrow("unmount it first");
    expect(existsSync(join(at, "rows"))).toBe(true);
  } finally {
    execFileSync("umount", [at]);
  }
  expect(await sweptOf({ instanceIds: [orphan.id] })).toEqual({ [orphan.id]: "removed" });
});

test("a link in the place of an instance is not followed", async () => {
  const aside = await plant();
  const id = newId("ins");
  symlinkSync(aside.directory, join(layoutOf(home).instances, id));
  const swept = await sweptOf({ instanceIds: [id] });
  expect(swept[id]).toContain("does not carry the mark");
  expect(existsSync(aside.data)).toBe(true);
});

async function desireOne() {
  const instance = sampleInstance({ generation: 1n });
  const { id } = instance.spec;
  const tenant = sampleTenant(id, { generation: 1n });
  for (const subject of host.state.desire({ instances: [instance], tenants: [tenant] })) {
    host.reconciler.look(subject, { now: true });
  }
  await host.reconciler.idle();
  const { directory } = placeOf(layoutOf(home), id);
  mkdirSync(directory);
  await markListed(host);
  return { id, directory };
}

test("what the ledger lists is kept, unless the operator says that control forgot it", async () => {
  const { id, directory } = await desireOne();
  expect(await sweptOf({ instanceIds: [id] })).toEqual({
    [id]: "It is in the ledger of this host: it may be in use.",
  });
  expect(machine.contents[id]).toMatchObject({ runs: true });

  expect(await sweptOf({ forgottenInstanceIds: [id] })).toEqual({ [id]: "removed" });
  await host.reconciler.idle();
  host.reconciler.lookAtDrift();
  await host.reconciler.idle();
  expect(machine.contents).toEqual({});
  expect(existsSync(directory)).toBe(false);
  expect([...host.state.subjects()]).toEqual([]);
  expect(trash()).toHaveLength(1);
});

test("a stray process is ended, however it resists, and no other", async () => {
  const stray = await plant();
  const deaf = ["sh", "-c", "trap '' TERM INT; while :; do sleep 1; done"];
  const pids = [spawnIn(stray.data), spawnIn(stray.data, deaf)];
  const bystander = spawnIn(home);
  rmSync(stray.directory, { recursive: true });
  const swept = await sweptOf({ pids: [...pids, bystander, process.pid] });
  expect(swept).toEqual({
    [`${pids[0]}`]: "removed",
    [`${pids[1]}`]: "removed",
    [`${bystander}`]: "It is no stray process of this host any more.",
    [`${process.pid}`]: "It is no stray process of this host any more.",
  });
});

test("of paths only what the agent itself leaves behind is removed", async () => {
  const { instances, run } = layoutOf(home);
  const held = await plant();
  const leftover = join(instances, `.gone-${newId("ins")}`);
  const socket = join(run, "0123456789ab");
  const notes = join(home, "notes.txt");
  const outside = mkdtempSync(join(tmpdir(), "agent-sweep-outside-"));
  for (const path of [leftover, socket]) mkdirSync(path);
  symlinkSync(outside, join(leftover, "link"));
  writeFileSync(join(outside, "file"), "");
  writeFileSync(notes, "whose is this?");
  const inUse = join(run, basename(placeOf(layoutOf(home), held.id).socketDirectory));
  mkdirSync(inUse);
  const tricky = `${instances}/../../${basename(outside)}`;
  const swept = await sweptOf({ paths: [leftover, socket, notes, outside, inUse, tricky] });
  expect(swept[leftover]).toBe("removed");
  expect(swept[socket]).toBe("removed");
  expect(swept[inUse]).toBe("It belongs to something by now.");
  for (const path of [notes, outside, tricky]) expect(swept[path]).toContain("carry the mark");
  expect(existsSync(join(outside, "file"))).toBe(true);
  rmSync(outside, { recursive: true });
});

test("nothing but the trash is purged", async () => {
  const orphan = await plant();
  const wrong = [orphan.directory, dirname(home), join(home, "trash", "..", "ledger.db")];
  const swept = await sweptOf({ trashPaths: wrong });
  for (const path of wrong) expect(swept[path]).toContain("is not in the trash");
  expect(existsSync(orphan.data)).toBe(true);
});
