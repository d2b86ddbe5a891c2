/** Control as a process of its own over a catalogue of the test, to be killed where a test says. */
import { messageOf } from "@aerodb/model";
import { type Piece, startPiece } from "../piece-process.ts";

/** `failpoints`: as in the setting of that name; empty: none. */
export function startControlAlone(from: {
  readonly catalogueUrl: string;
  readonly home: string;
  readonly platformKey: string;
  readonly failpoints: string;
}): Piece {
  return startPiece("control", {
    AERODB_CONTROL_CATALOGUE_URL: from.catalogueUrl,
    AERODB_CONTROL_HOME: from.home,
    AERODB_CONTROL_API_PORT: "0",
    AERODB_CONTROL_LINK_PORT: "0",
    AERODB_CONTROL_PLATFORM_KEY: from.platformKey,
    AERODB_CONTROL_FAILPOINTS: from.failpoints,
  });
}

export function isDead({ pid }: Piece): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return messageOf(error).includes("ESRCH");
  }
}
