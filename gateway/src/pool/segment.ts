/** What a server is asked in one go: a query, or everything up to a Sync. */
import { Line } from "../wire/line.ts";
import { CLIENT, SERVER } from "../wire/messages.ts";
import type { PutBack } from "./client-settings.ts";

export interface Segment {
  readonly kind: "query" | "extended";
  /** Whether it is the pool's own, and nobody's to hear. */
  readonly silent: boolean;
  /** Whether an error in it is no more than that, although it is the pool's own. */
  mayFail: boolean;
  /** How many messages of it were sent. */
  messages: number;
  readonly parses: Line<AskedParse>;
  readonly closes: Line<AskedClose>;
  instead?: Instead;
  /** What the client has again once it is done. */
  putsBack?: PutBack;
  /** How many of its `DEALLOCATE`s are of what the pool has made for it. */
  harmless: number;
  /** How many of its Executes are not answered, and whether something else came after the last. */
  executes: number;
  asksMore: boolean;
  /** How often the server has asked for what is copied in, less how often that was all sent. */
  copiesIn: number;
  /** Whether there was an error: the rest is skipped. */
  failed: boolean;
}

/** What is asked in place of a query of the client. */
export interface Instead {
  /** How many of the first answers the client does not hear. */
  hides: number;
  /** Called when the one that it hears says that it is done. */
  readonly completed: () => void;
}

interface AskedParse {
  readonly visible: boolean;
  /** Called when it turns out that there was an error before it, or in it. */
  readonly failed: () => void;
}

interface AskedClose {
  /** Whether its answer is for the client. */
  readonly visible: boolean;
  /** Called when it turns out that there was an error before it. */
  readonly skipped: () => void;
}

export function segmentOf(kind: Segment["kind"], silent = false): Segment {
  return {
    ...{ kind, silent, mayFail: false, messages: 0, harmless: 0 },
    ...{
      parses: new Line<AskedParse>(),
      closes: new Line<AskedClose>(),
      executes: 0,
      asksMore: true,
      copiesIn: 0,
      failed: false,
    },
  };
}

/** A message of the extended protocol is asked. */
export function noteAsked(segment: Segment, type: number): void {
  if (type === CLIENT.execute) segment.executes += 1;
  if (type !== CLIENT.flush) segment.asksMore = type !== CLIENT.execute;
}

/** Something is answered. */
export function noteAnswered(segment: Segment, type: number): void {
  switch (type) {
    case SERVER.commandComplete:
    case SERVER.portalSuspended:
    case SERVER.emptyQuery:
      segment.executes -= 1;
      segment.copiesIn = 0;
      break;
    case SERVER.copyIn:
      segment.copiesIn += 1;
      break;
    case SERVER.error:
      segment.copiesIn = 0;
      segment.failed = true;
  }
}

/**
 * Whether there is nothing to do until the client says more: it copies in, or a batch that no Sync
 * has ended yet is done.
 */
export function awaitsMore(asked: Segment | undefined, open: Segment | undefined): boolean {
  const answering = asked ?? open;
  if (answering === undefined || answering.copiesIn > 0) return true;
  if (asked !== undefined) return false;
  return answering.failed || (answering.executes === 0 && !answering.asksMore);
}

/** Whether the client does not hear an answer that says that something is done. */
export function hides(segment: Segment | undefined): boolean {
  const instead = segment?.instead;
  if (instead === undefined) return false;
  instead.hides -= 1;
  if (instead.hides >= 0) return true;
  instead.completed();
  return false;
}
