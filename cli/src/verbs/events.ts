/** `aerodb events list`: what was changed, by whom, and what the platform found by itself. */
import { type Event, EventSchema } from "@aerodb/rpc/aerodb/control/v1/event_service_pb.js";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { parseLimit } from "../limit.ts";
import { parseMoment } from "../moment.ts";
import { type Column, timeText } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession } from "../session.ts";

const EVENTS: readonly Column<Event>[] = [
  { title: "at", of: ({ at }) => timeText(at) },
  { title: "kind", of: ({ kind }) => kind },
  { title: "subject", of: ({ subject }) => subject },
  { title: "actor", of: ({ actor }) => actor },
  { title: "change", of: changeText },
];

const MOST_A_PAGE = 1_000;
/** Longer ones are shown whole by `--output json`. */
const MOST_CHANGE = 120;

interface Flags {
  readonly subject: string;
  readonly kind: string;
  readonly actor: string;
  readonly since?: Date;
  readonly until?: Date;
  readonly limit: number;
}

export function addEvents(program: Command): void {
  const events = program.command("events").description("what was changed, by whom and when");
  events
    .command("list")
    .description("list events, newest first")
    .option("--subject <id>", "of this tenant, instance, host, key or plan only", "")
    .option("--kind <kind>", 'of this kind only; "tenant." is all about tenants', "")
    .option("--actor <id>", "of this key, host or gateway only, or of the system", "")
    .option("--since <time>", "only what happened then or later: 2h, 3d or a time", parseMoment)
    .option("--until <time>", "only what happened before then", parseMoment)
    .option("--limit <n>", "at most this many", parseLimit, 50)
    .addHelpText("after", "\nExample:\n  aerodb events list --kind tenant. --since 2h")
    .action(async ({ limit, since, until, ...rest }: Flags, command: Command) => {
      const { api, output } = openSession(command);
      const found: Event[] = [];
      const filter = {
        ...rest,
        ...(since === undefined ? {} : { since: timestampFromDate(since) }),
        ...(until === undefined ? {} : { until: timestampFromDate(until) }),
      };
      let pageToken = "";
      do {
        const pageSize = Math.min(limit - found.length, MOST_A_PAGE);
        const asking = api.events.listEvents({ ...filter, pageSize, pageToken });
        const page = await showProgress("listing events", asking);
        found.push(...page.events);
        pageToken = page.nextPageToken;
      } while (pageToken !== "" && found.length < limit);
      output.list(EventSchema, found, EVENTS);
    });
}

/** Each fact with what it was and what it is, as far as either is known. */
export function changeText({ before = {}, after = {} }: Pick<Event, "before" | "after">): string {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  const facts = [...names].map((name) => {
    const [was, is] = [before[name], after[name]].map((value) => valueText(value));
    return was === undefined ? `${name}: ${is}` : `${name}: ${was} → ${is ?? "-"}`;
  });
  const text = facts.join(", ");
  return text.length > MOST_CHANGE ? `${text.slice(0, MOST_CHANGE)}…` : text || "-";
}

function valueText(value: unknown): string | undefined {
  return value === undefined || typeof value === "string" ? value : JSON.stringify(value);
}
