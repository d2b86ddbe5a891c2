import { Fault } from "@aerodb/model";
import type { z } from "zod";

type Environment = Record<string, string | undefined>;

/**
 * Reads one piece's configuration from the variables that start with `prefix`: `AERODB_AGENT_HOME`
 * with the prefix `AERODB_AGENT_` is the key `home`. A variable with the prefix that the schema
 * does not know is refused, and each variable read is taken out of the environment, so that no
 * child inherits a secret. `given` (flags) wins over the environment.
 */
export function readConfiguration<Schema extends z.ZodObject>(
  schema: Schema,
  from: {
    readonly prefix: string;
    readonly environment: Environment;
    readonly given?: Readonly<Record<string, unknown>>;
  },
): z.infer<Schema> {
  const values: Record<string, unknown> = {};
  for (const name of Object.keys(from.environment)) {
    if (!name.startsWith(from.prefix)) continue;
    const key = camelCase(name.slice(from.prefix.length));
    if (!(key in schema.shape)) {
      const known = Object.keys(schema.shape).map((each) => from.prefix + upperSnake(each));
      throw new Fault(
        "INVALID_ARGUMENT",
        `The environment variable ${name} means nothing here. Known are: ${known.join(", ")}.`,
      );
    }
    if (from.environment[name] !== "") values[key] = from.environment[name];
    delete from.environment[name];
  }
  for (const [key, value] of Object.entries(from.given ?? {})) {
    if (value !== undefined) values[key] = value;
  }
  const parsed = schema.safeParse(values);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const key = String(issue?.path[0] ?? "");
  const name = from.prefix + upperSnake(key);
  if (values[key] === undefined && issue?.message.startsWith("Invalid input") === true) {
    throw new Fault("INVALID_ARGUMENT", `${name} is not set, and has no default.`);
  }
  throw new Fault("INVALID_ARGUMENT", `${name}: ${issue?.message ?? "is wrong"}.`);
}

function camelCase(upper: string): string {
  return upper.toLowerCase().replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function upperSnake(camel: string): string {
  return camel.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/** What systemd tells a service that it started. */
export interface ServiceSettings {
  /** Where it listens; undefined when it does not, or did not start us. */
  readonly notifySocket: string | undefined;
  /** Within which time it wants to hear that the service is not stuck. */
  readonly watchdogMs: number | undefined;
}

/** Takes it out of the environment: no child may speak for the service. */
export function takeServiceSettings(environment: Environment = process.env): ServiceSettings {
  const { NOTIFY_SOCKET: notifySocket, WATCHDOG_USEC: microseconds } = environment;
  for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete environment[name];
  const watchdogMs = Number(microseconds) / 1_000;
  return {
    notifySocket: notifySocket === "" ? undefined : notifySocket,
    watchdogMs: watchdogMs > 0 ? watchdogMs : undefined,
  };
}
