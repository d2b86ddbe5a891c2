/** The catalogue, for what no API does: what is looked at or put there goes around the platform. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import pg from "pg";
import type { Platform } from "../platform.ts";

/** A session in the catalogue. Who opens it ends it. */
export async function openCatalogue({ home }: Platform): Promise<pg.Client> {
  const directory = join(home, "state", "catalogue");
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  const socket = names.find((name) => name.endsWith(".s.PGSQL.5432")) ?? "";
  const client = new pg.Client({
    host: join(directory, dirname(socket)),
    user: "aerodb_root",
    database: "aerodb",
    password: readFileSync(join(directory, "password"), "utf8").trim(),
  });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}
