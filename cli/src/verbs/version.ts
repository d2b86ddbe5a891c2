/** `aerodb version` */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { createOutput } from "../output.ts";
import type { SharedFlags } from "../session.ts";

export function addVersion(program: Command): void {
  program
    .command("version")
    .description("show the version of aerodb and of what it runs on")
    .action((_flags: object, command: Command) => {
      const output = createOutput(command.optsWithGlobals<SharedFlags>().output);
      const versions = { aerodb: ownVersion(), node: process.versions.node };
      if (output.format === "json") output.json(versions);
      else output.text(`aerodb ${versions.aerodb} (Node ${versions.node})`);
    });
}

export function ownVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}
