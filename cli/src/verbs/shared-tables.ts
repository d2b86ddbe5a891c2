/** `aerodb shared-tables …`: tables that all tenants of shared instances share. */
import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { Fault, messageOf } from "@aerodb/model";
import {
  type ApplySharedTablesResponse,
  ApplySharedTablesResponseSchema,
  type InstanceBehind,
  type SharedTableChange,
  SharedTableChangeSchema,
} from "@aerodb/rpc/aerodb/control/v1/shared_table_service_pb.js";
import type { Command } from "commander";
import { type Column, type Output, timeText } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession } from "../session.ts";
import { terminalText } from "../terminal-text.ts";

const LIST: readonly Column<SharedTableChange>[] = [
  { title: "number", of: ({ number }) => String(number) },
  { title: "name", of: ({ name }) => name },
  {
    title: "applied in",
    of: ({ instances, instancesApplied }) => `${instancesApplied}/${instances}`,
  },
  { title: "created", of: ({ createdAt }) => timeText(createdAt) },
  { title: "sha256", of: ({ sha256 }) => sha256.slice(0, 12) },
];

const EXAMPLE = `
Every table has a primary key that begins with a column tenant_id of the type text; every other
unique key and every foreign key has it too. Each tenant then sees its own rows, and need not name
itself. What was applied is never edited: later changes are other files.

Example, notes.sql:
  create table notes (tenant_id text, id bigint generated always as identity, title text,
                      primary key (tenant_id, id));

  aerodb shared-tables apply notes.sql
  aerodb psql acme -- -c "insert into shared.notes (title) values ('mine')"`;

export function addSharedTables(program: Command): void {
  const tables = program
    .command("shared-tables")
    .description("tables that all tenants of shared instances share, each its own rows");
  tables
    .command("apply <file>")
    .description("try a file of SQL in every shared instance, then apply it in all, once")
    .option("--name <name>", "what the change is called (default: the name of the file)")
    .addHelpText("after", EXAMPLE)
    .action(async (file: string, flags: { readonly name?: string }, command: Command) => {
      const { api, output } = openSession(command);
      const change = { name: flags.name ?? basename(file), sql: readSql(file) };
      const asked = api.sharedTables.applySharedTables(change);
      showApplied(output, await showProgress(`applying ${change.name}`, asked));
    });
  tables
    .command("list")
    .description("list what was applied, in order, and in how many instances it is")
    .action(async (_flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const asked = api.sharedTables.listSharedTables({});
      const answer = await showProgress("listing changes of shared tables", asked);
      output.list(SharedTableChangeSchema, answer.changes, LIST);
      if (output.format === "table") for (const each of answer.behind) output.text(saidOf(each));
    });
}

function saidOf({ instanceId, hostId, newestChange, reason }: InstanceBehind): string {
  const why = reason === "" ? "it is down, or about to have them" : terminalText(reason);
  return `${instanceId} on ${hostId} has changes up to ${newestChange}: ${why}`;
}

function readSql(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new Fault("INVALID_ARGUMENT", `Could not read ${file}: ${messageOf(error)}.`);
  }
  if (isUtf8(bytes)) return bytes.toString("utf8");
  throw new Fault("INVALID_ARGUMENT", `${file} is no text in UTF-8: save it as that.`);
}

function showApplied(output: Output, answer: ApplySharedTablesResponse): void {
  const { change, repeated } = answer;
  if (change === undefined) return;
  if (output.format === "json") output.one(ApplySharedTablesResponseSchema, answer, []);
  else {
    output.one(SharedTableChangeSchema, change, LIST);
    if (repeated) output.text("It had been applied before: nothing was changed.");
  }
}
