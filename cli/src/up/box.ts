/** What `up` prints when it is ready: where everything is, and what to try first. */
import { shortPath, type UpSettings } from "../config.ts";
import type { StartedPlatform } from "./platform.ts";

const EXAMPLE = "acme-corp";
/** Where verbs look by themselves, for the key and for the ports of what runs there. */
const DEFAULT_HOME = "./.aerodb";

export function readyText(settings: UpSettings, started: StartedPlatform): string {
  const { paths, platformKey } = started;
  const keyFile = shortPath(paths.platformKey);
  const home = shortPath(paths.home);
  const aerodb = home === DEFAULT_HOME ? "npx aerodb" : `npx aerodb --home ${home}`;
  const rows: readonly (readonly [string, string])[] = [
    ["REST", restUrl(settings)],
    ["gRPC", `127.0.0.1:${settings.grpcPort}`],
    ["Postgres", `127.0.0.1:${settings.pgPort}`],
    ["Pooled", `127.0.0.1:${settings.pgPooledPort}`],
    ["Platform key", platformKey.isNew ? platformKey.text : `in ${keyFile}`],
    ...(platformKey.isNew ? [["Key file", keyFile] as const] : []),
    ...(started.caFile ? [["CA file", shortPath(started.caFile)] as const] : []),
    ["Home", home],
  ];
  return [
    ...framed("AeroDB is ready", rows),
    "",
    "Create a tenant:",
    `  ${createCommand(settings, platformKey.isNew ? platformKey.text : `$(cat ${keyFile})`)}`,
    "Connect to it (with a new password; the one above is in the answer):",
    `  ${connectCommand(settings, `$(cat ${keyFile})`)}`,
    "The same by name:",
    `  ${aerodb} tenants create globex --plan pro && ${aerodb} psql globex`,
    "",
    "Ctrl-C stops everything; the next start brings everything back.",
    "",
  ].join("\n");
}

function restUrl({ restPort }: UpSettings): string {
  return `http://127.0.0.1:${restPort}`;
}

function createCommand(settings: UpSettings, key: string): string {
  const body = JSON.stringify({ name: EXAMPLE, plan: "pro", region: settings.region });
  const url = `${restUrl(settings)}/v1/tenants`;
  return `curl -sS -X POST ${url} -H "Authorization: Bearer ${key}" -d '${body}'`;
}

function connectCommand(settings: UpSettings, key: string): string {
  const url = `${restUrl(settings)}/v1/tenants/${EXAMPLE}/credentials:rotate`;
  const rotate = `curl -sS -X POST ${url} -H "Authorization: Bearer ${key}" -d '{}'`;
  return `psql "$(${rotate} | grep -o 'postgres://[^"]*' | head -n 1)"`;
}

function framed(title: string, rows: readonly (readonly [string, string])[]): readonly string[] {
  const labelWidth = Math.max(...rows.map(([label]) => label.length));
  const lines = rows.map(([label, value]) => `${label.padEnd(labelWidth)}  ${value}`);
  const width = Math.max(title.length + 2, ...lines.map((line) => line.length));
  return [
    `╭─ ${title} ${"─".repeat(width - title.length - 1)}╮`,
    ...lines.map((line) => `│ ${line.padEnd(width)} │`),
    `╰${"─".repeat(width + 2)}╯`,
  ];
}
