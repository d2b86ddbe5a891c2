import { pino } from "pino";

export type Logger = pino.Logger;

/** Fields that never reach a log, wherever they stand. */
const SECRETS = ["password", "verifier", "secret", "authorization", "joinToken", "uri", "key"];

/** JSON lines on standard output, with the piece's name in each. */
export function createLogger(piece: string, level: string): Logger {
  return pino({
    level,
    base: { piece },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: SECRETS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
      censor: "[secret]",
    },
  });
}

/** A logger that says nothing, for tests. */
export const silent: Logger = pino({ level: "silent" });
