import type { EventSchema, EventService } from "@aerodb/rpc/aerodb/control/v1/event_service_pb.js";
import { decodeTime, encodeTime } from "@aerodb/wire";
import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { type Event, type EventFilter, type EventPage, eventId } from "../app/events.ts";

export interface Events {
  list(filter: EventFilter): Promise<EventPage>;
}

export function eventService(events: Events): ServiceImpl<typeof EventService> {
  return {
    async listEvents(request) {
      const { pageSize, pageToken, subject, kind, actor, since, until } = request;
      const page = await events.list({
        ...{ pageSize, pageToken, subject, kind, actor },
        ...(since === undefined ? {} : { since: decodeTime(since) }),
        ...(until === undefined ? {} : { until: decodeTime(until) }),
      });
      return { events: page.events.map(encodeEvent), nextPageToken: page.nextPageToken };
    },
  };
}

function encodeEvent(event: Event): MessageInitShape<typeof EventSchema> {
  const { at, actor, kind, subject, before, after, requestId } = event;
  return {
    eventId: eventId(event),
    at: encodeTime(at),
    ...{ actor, kind, subject, requestId },
    ...(before === null ? {} : { before: before as JsonObject }),
    ...(after === null ? {} : { after: after as JsonObject }),
  };
}
