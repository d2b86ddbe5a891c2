/** What is on the disk and in the process table, counted without asking the platform. */
import { globSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { Platform } from "../platform.ts";

/**
 * One directory and one postmaster for each database tenant, at most one more of each for the
 * schema tenants of a host, and nothing else.
 */
export async function expectNothingHalf(platform: Platform): Promise<void> {
  const tenants = await platform.tenants();
  const dedicated = tenants.filter((tenant) => tenant.isolation === "database").length;
  const hosts = (await platform.request("GET", "/v1/hosts")).body.hosts.length;
  const directories = instanceDirectories(platform);
  const postmasters = [...platform.pieces().instances.keys()].sort();
  expect(postmasters, "a postmaster for each instance directory").toEqual(directories);
  expect(directories.length).toBeGreaterThanOrEqual(dedicated);
  expect(directories.length).toBeLessThanOrEqual(dedicated + hosts);
}

function instanceDirectories(platform: Platform): string[] {
  // Only there: beside them clones are made ahead, and go while somebody looks.
  const homes = platform.roots.flatMap((root) =>
    globSync("{state/,}agents/*/instances", { cwd: root }).map((path) => join(root, path)),
  );
  return [...new Set(homes.flatMap((home) => readdirSync(home)))].sort();
}
