/** What of a server's messages the pool looks at. */
import { onlyTypes } from "../wire/frames.ts";
import { HEAD_BYTES, SERVER } from "../wire/messages.ts";

const READY_BYTES = 6;
const TAG_BYTES = 64;
const STATUS_BYTES = 4_096;
const ERROR_BYTES = 1_024;

export const LOOKS_AT = onlyTypes(Object.values(SERVER));
/** What is for the pool alone is dropped, whatever it is. */
export const LOOKS_AT_ALL = onlyTypes(Array.from({ length: 256 }, (_, type) => type));

export const NOTHING = onlyTypes([]);
export const READY = onlyTypes([SERVER.ready]);

/** How much of a message must be there. */
export function bytesNeeded(type: number, length: number): number {
  switch (type) {
    case SERVER.ready:
      return READY_BYTES;
    case SERVER.commandComplete:
      return Math.min(length, TAG_BYTES);
    case SERVER.parameterStatus:
      return Math.min(length, STATUS_BYTES);
    case SERVER.error:
      return Math.min(length, ERROR_BYTES);
    default:
      return HEAD_BYTES;
  }
}
