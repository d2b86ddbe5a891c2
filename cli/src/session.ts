/** What every verb over the API needs, from the flags all of them share. */
import type { Command } from "commander";
import { type Api, connectApi } from "./api.ts";
import { readVerbSettings, type VerbSettings } from "./config.ts";
import { createOutput, type Format, type Output } from "./output.ts";

export interface Session {
  readonly api: Api;
  readonly output: Output;
  readonly settings: VerbSettings;
}

export interface SharedFlags {
  readonly home?: string;
  readonly url?: string;
  readonly key?: string;
  readonly output: Format;
}

export function openSession(command: Command): Session {
  const flags = command.optsWithGlobals<SharedFlags>();
  const settings = readVerbSettings(flags);
  return { api: connectApi(settings), output: createOutput(flags.output), settings };
}
