import { Fault } from "@aerodb/model";
import type { Event } from "../store/events.ts";
import * as store from "../store/events.ts";
import type { Control } from "./control.ts";
import { makePageToken, pageSizeOf, readPageToken } from "./page-token.ts";
import { requireText } from "./text.ts";

export type { Event };

/** What is left out or empty lets all through. */
export interface EventFilter {
  readonly pageSize?: number;
  readonly pageToken?: string;
  /** What it happened to. */
  readonly subject?: string;
  /** A kind, or with a dot at its end all that begin with it. */
  readonly kind?: string;
  readonly actor?: string;
  /** What happened then or later. */
  readonly since?: Date;
  /** What happened before then. */
  readonly until?: Date;
}

export interface EventPage {
  readonly events: readonly Event[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** How ids of events begin outside of the catalogue. */
const PREFIX = "evt_";

export function eventId({ id }: Pick<Event, "id">): string {
  return `${PREFIX}${id}`;
}

/** A page of events, newest first. INVALID_ARGUMENT, INVALID_PAGE_TOKEN. */
export async function listEvents(control: Control, filter: EventFilter): Promise<EventPage> {
  const { subject = "", kind = "", actor = "", since = null, until = null } = filter;
  requireText("The subject", subject);
  requireText("The kind", kind);
  requireText("The actor", actor);
  if (since !== null && until !== null && since > until) {
    const sentence = `Nothing is since ${since.toISOString()} and until ${until.toISOString()}.`;
    throw new Fault("INVALID_ARGUMENT", `${sentence} Exchange the two.`);
  }
  const limit = pageSizeOf(filter.pageSize);
  const times = [since, until].map((time) => time?.toISOString() ?? "");
  const filters = ["events", subject, kind, actor, ...times];
  const before = readPageToken(filters, filter.pageToken);
  const found = await store.listEvents(control.database, {
    ...{ subject, kind, actor, since, until },
    below: before === "" ? null : BigInt(before.slice(PREFIX.length)),
    limit: limit + 1,
  });
  const events = found.slice(0, limit);
  const last = events.at(-1);
  const nextPageToken =
    found.length > limit && last !== undefined ? makePageToken(filters, eventId(last)) : "";
  return { events, nextPageToken };
}
