/** Kills a process at every step of making, filling, growing and removing a volume. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { InstanceSpec } from "../instance-spec.ts";
import { sampleSpec } from "../sample-spec.ts";
import { storeCases, type ThrowawayStore, throwawayStore } from "./throwaway-store.ts";
import { MIB } from "./volume.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const FIXTURE = join(import.meta.dirname, "storage-step-fixture.ts");
const run = promisify(execFile);
/** Each means once: what it is on makes no difference to its steps. */
const CASES = (await storeCases()).filter(({ on }) => on !== "xfs");

describe.each(CASES)("instances with $means volumes", ({ on, means, lack }) => {
  const itself = test.skipIf(lack);
  let at: ThrowawayStore;
  beforeAll(async () => {
    if (lack === undefined) at = await throwawayStore({ on, means, lack });
  });
  afterAll(() => at?.remove());
  afterEach(async () => {
    if (lack !== undefined) return;
    await at.destroyAll();
    await at.expectNothingLeft();
  });

  /** Runs one step in a process that a failpoint ends, and then what an agent does next. */
  async function killedAt(point: string, verb: string, spec: InstanceSpec): Promise<void> {
    const words = [at.home, at.engines, at.rootPassword, means, verb, `${point}=kill`];
    const text = JSON.stringify({ id: spec.id, storageMiB: spec.storageMiB });
    const failure = await run(process.execPath, [FIXTURE, ...words, text]).catch(
      (error: { readonly signal: string }) => error,
    );
    expect(failure, `${verb} reaches ${point}`).toMatchObject({ signal: "SIGKILL" });
    at.store = at.another();
    await at.store.recover();
  }

  const making = {
    loop: ["image", "formatted", "mounted", "filled", "counts"],
    btrfs: ["subvolume", "limited", "filled", "counts"],
  }[means];

  itself.for(making)("killed at volume.%s of being made are made anew", async (name, ctx) => {
    if (at.noLimit !== undefined) return ctx.skip(at.noLimit);
    const spec = sampleSpec({ storageMiB: 60 });
    await killedAt(`agent.volume.${name}`, "make", spec);
    await at.expectNothingLeft();
    await at.store.make(spec);
    await at.start(spec);
  });

  itself.for(making)("killed at volume.%s of a move keep their data", async (name, ctx) => {
    if (at.noLimit !== undefined) return ctx.skip(at.noLimit);
    const spec = await at.made();
    const client = await at.start(spec);
    await client.query("create table public.t as select generate_series(1, 1000) as i");
    await at.stop(spec.id);
    const limited = { ...spec, storageMiB: 60 };
    await killedAt(`agent.volume.${name}`, "furnish", limited);
    const again = await at.start(limited);
    expect((await again.query("select count(*)::int from public.t")).rows).toEqual([
      { count: 1000 },
    ]);
    expect(await at.store.walls(spec.id)).toEqual([`storage:${means}`]);
    expect(existsSync(at.store.place(spec.id).files)).toBe(false);
  });

  const growing = {
    loop: ["image-grown", "device-grown", "grown", "resized"],
    btrfs: ["resized"],
  }[means];

  itself.for(growing)("killed at volume.%s of growing are grown", async (name, ctx) => {
    if (at.noLimit !== undefined) return ctx.skip(at.noLimit);
    const spec = await at.made({ storageMiB: 60 });
    await at.start(spec);
    await at.stop(spec.id);
    const bigger = { ...spec, storageMiB: 300 };
    await killedAt(`agent.volume.${name}`, "resize", bigger);
    await at.store.resizeStorage(bigger);
    await at.start(bigger);
    const { freeBytes, limitBytes } = await at.store.fill(spec.id);
    expect(limitBytes).toBe(300n * BigInt(MIB));
    expect(freeBytes).toBeGreaterThan(280n * BigInt(MIB));
  });

  const destroying = {
    loop: ["agent.instance.unlinked", "agent.volume.unmounted", "agent.instance.destroyed"],
    btrfs: ["agent.instance.unlinked", "agent.instance.destroyed"],
  }[means];

  itself.for(destroying)("killed at %s of being destroyed are gone", async (point, ctx) => {
    if (at.noLimit !== undefined) return ctx.skip(at.noLimit);
    const spec = await at.made({ storageMiB: 60 });
    await at.start(spec);
    await at.stop(spec.id);
    await killedAt(point, "destroy", spec);
    await at.expectNothingLeft();
  });
});
