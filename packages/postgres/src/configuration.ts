/** Renders and writes what an instance's server is told in postgresql.conf and pg_hba.conf. */
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type ConfigurationLine, configurationLines } from "./configuration-lines.ts";
import { CATALOGUE_HBA, renderHba, TENANT_HBA } from "./hba.ts";
import type { InstanceShape } from "./instance-shape.ts";
import type { Owner } from "./owner.ts";
import { acceptSettings } from "./tenant-settings.ts";

/** Renders postgresql.conf: one setting a line, with the reason behind it. */
export function renderConfiguration(shape: InstanceShape): string {
  const chosen = acceptSettings(shape.settings ?? {}, shape).accepted;
  const platform = configurationLines(shape).filter(({ name }) => !(name in chosen));
  const tenant = Object.entries(chosen).map(([name, value]) => ({
    name,
    value,
    because: "chosen by the tenant",
  }));
  return [...platform, ...tenant].map(renderLine).join("");
}

/**
 * Writes all configuration that a server reads in its data directory, each file whole or not at
 * all. A server that runs reads it when it is told to. In two of the files there is nothing of
 * ours, nor shall there be anything else: a pipe would keep the server waiting.
 */
export async function writeConfiguration(
  dataDirectory: string,
  shape: InstanceShape,
  owner?: Owner,
): Promise<void> {
  const rows = shape.kind === "catalogue" ? CATALOGUE_HBA : TENANT_HBA;
  await Promise.all([
    replaceFile(join(dataDirectory, "postgresql.conf"), renderConfiguration(shape), owner),
    replaceFile(join(dataDirectory, "pg_hba.conf"), renderHba(rows), owner),
    ...["postgresql.auto.conf", "pg_ident.conf"].map((name) =>
      replaceFile(join(dataDirectory, name), "", owner),
    ),
  ]);
}

/** The directory is the instance's own: what it may have put there is replaced, never followed. */
async function replaceFile(path: string, text: string, owner?: Owner): Promise<void> {
  const draft = `${path}.new`;
  await rm(draft, { force: true, recursive: true });
  const file = await open(draft, "wx", 0o600);
  try {
    await file.writeFile(text);
    await file.chmod(0o600);
    if (owner !== undefined) await file.chown(owner.uid, owner.gid);
  } finally {
    await file.close();
  }
  await rename(draft, path);
}

function renderLine({ name, value, because }: ConfigurationLine): string {
  return `${name} = ${renderValue(value)}  # ${because}\n`;
}

function renderValue(value: string | number): string {
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) throw new Error(`bug: ${value} in postgresql.conf`);
    return value.toString();
  }
  if (!/^[A-Za-z0-9 _.,%/[\]-]*$/.test(value)) {
    throw new Error(`bug: ${JSON.stringify(value)} in postgresql.conf`);
  }
  return `'${value}'`;
}
