/** The platform's instances without the platform: what the figures are held against. */
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { connectPlatform } from "@aerodb/postgres";
import type pg from "pg";
import type { Platform } from "../platform.ts";

/** The directory of the first agent of a platform that runs on this machine. */
export function agentDirectory(platform: Platform): string {
  const agents = join(realpathSync(join(platform.home, "state")), "agents");
  const [first = ""] = readdirSync(agents);
  return join(agents, first);
}

/** Where an instance's server listens: line 5 of its postmaster.pid. */
export function socketDirectoryOf(dataDirectory: string): string {
  const lines = readFileSync(join(dataDirectory, "postmaster.pid"), "utf8").split("\n");
  return lines[4] ?? "";
}

/** A session of the superuser in an instance, past the gateway. */
export function connectRoot(platform: Platform, instanceId: string): Promise<pg.Client> {
  const agent = agentDirectory(platform);
  return connectPlatform({
    socketDirectory: socketDirectoryOf(join(agent, "instances", instanceId, "data")),
    password: readFileSync(join(agent, "root-password"), "utf8").trim(),
  });
}
