/** `aerodb logs`: what a tenant's own server wrote to its log, or any server for who may see it. */
import { Fault } from "@aerodb/model";
import { sleep } from "@aerodb/runtime";
import { type Command, InvalidArgumentError } from "commander";
import type { Api } from "../api.ts";
import { showProgress } from "../progress.ts";
import { openSession } from "../session.ts";
import { lastLines, terminalText } from "../terminal-text.ts";

interface Flags {
  readonly instance?: string;
  readonly follow?: boolean;
  readonly lines: number;
}

/** How often a log that is followed is asked for more. */
const LOOK_MS = 1_000;
/** How long to leave a host that does not answer while its log is followed. */
const RETRY_MS = 3_000;
/** As much as is asked for at once: enough for very long lines. */
const MOST_BYTES = 1_048_576;
const BYTES_PER_LINE = 400;

export function addLogs(program: Command): void {
  program
    .command("logs [tenant]")
    .description("show what a tenant's own Postgres server wrote to its log")
    .option("--instance <id>", "of this instance instead, or of the one that a tenant lives in")
    .option("-f, --follow", "go on until interrupted")
    .option("-n, --lines <count>", "begin with so many lines", parseCount, 200)
    .action(async (tenant: string | undefined, flags: Flags, command: Command) => {
      const { api, output } = openSession(command);
      const read = readerOf(api, tenant, flags.instance);
      const asked = Math.min(MOST_BYTES, Math.max(flags.lines * BYTES_PER_LINE, BYTES_PER_LINE));
      const first = await showProgress("asking the host", read("", asked));
      const text = lastLines(first.text, flags.lines);
      if (output.format === "json") {
        // A cursor tells programs where to go on; lines come one by one while following.
        if (!flags.follow) return output.json({ text, cursor: first.cursor });
      }
      const write = output.format === "json" ? writeJsonLines : writeText;
      write(text);
      if (flags.follow) await follow(read, first.cursor, write);
    });
}

type Part = { readonly text: string; readonly cursor: string };
type Reader = (cursor: string, maxBytes: number) => Promise<Part>;

function readerOf(api: Api, tenant: string | undefined, instanceId: string | undefined): Reader {
  if (instanceId !== undefined && tenant === undefined) {
    return (cursor, maxBytes) => api.hosts.getInstanceLogs({ instanceId, cursor, maxBytes });
  }
  if (instanceId === undefined && tenant !== undefined) {
    return (cursor, maxBytes) => api.tenants.getTenantLogs({ tenant, cursor, maxBytes });
  }
  throw new Fault("INVALID_ARGUMENT", "Name a tenant, or an instance with --instance.");
}

/** Until the process is interrupted, or the log cannot be had for good. */
async function follow(read: Reader, from: string, write: (text: string) => void): Promise<void> {
  for (let cursor = from; ; ) {
    let pauseMs = LOOK_MS;
    try {
      const part = await read(cursor, MOST_BYTES);
      ({ cursor } = part);
      write(part.text);
      if (part.text !== "") pauseMs = 0;
    } catch (error) {
      if (!isPassing(error)) throw error;
      process.stderr.write(`aerodb: ${error.message} Trying again.\n`);
      pauseMs = RETRY_MS;
    }
    await sleep(pauseMs);
  }
}

/** A host that restarts, or a control that does. */
function isPassing(error: unknown): error is Fault {
  return error instanceof Fault && (error.kind === "unavailable" || error.kind === "too_late");
}

function writeText(text: string): void {
  process.stdout.write(terminalText(text));
}

function writeJsonLines(text: string): void {
  for (const line of text.split("\n").slice(0, -1)) {
    process.stdout.write(`${JSON.stringify({ line })}\n`);
  }
}

function parseCount(text: string): number {
  if (!/^(0|[1-9][0-9]{0,5})$/.test(text)) throw new InvalidArgumentError("It must be a number.");
  return Number(text);
}
