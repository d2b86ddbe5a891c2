/** Answers control's question for a part of the log of an instance. */
import { Fault, isId, messageOf } from "@aerodb/model";
import {
  type LogChunk,
  LogChunkSchema,
  type LogRequest,
} from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { type Logger, within } from "@aerodb/runtime";
import { create } from "@bufbuild/protobuf";
import type { InstanceDriver, LogPart } from "./drivers/driver.ts";
import type { HostState } from "./host-state.ts";

export interface LogPorts {
  readonly driver: InstanceDriver;
  readonly state: HostState;
  readonly logger: Logger;
}

/** Control waits longer than this. */
const READ_MS = 8_000;
/** With the rest of the message it stays far below what the link carries at once. */
const MOST_BYTES = 1_048_576;
const LEAST_BYTES = 1_024;

/** Never rejects: what goes wrong is a sentence in the answer. */
export async function answerLog(ports: LogPorts, request: LogRequest): Promise<LogChunk> {
  const { logId } = request;
  try {
    const { text, cursor } = await readLog(ports, request);
    return create(LogChunkSchema, { logId, text, cursor });
  } catch (error) {
    if (!(error instanceof Fault)) ports.logger.error({ err: error }, "bug in reading a log");
    const failure = error instanceof Fault ? messageOf(error) : "The log could not be read.";
    return create(LogChunkSchema, { logId, failure });
  }
}

async function readLog(ports: LogPorts, request: LogRequest): Promise<LogPart> {
  const { instanceId: id, cursor, maxBytes } = request;
  if (!isId("ins", id) || ports.state.seen(id) === undefined) {
    throw new Fault("INSTANCE_NOT_FOUND", `The host holds no instance ${JSON.stringify(id)}.`);
  }
  const bytes = Math.min(Math.max(maxBytes, LEAST_BYTES), MOST_BYTES);
  const reading = ports.driver.log(id, { cursor, bytes });
  return within({ ms: READ_MS, expecting: `the log of ${id}` }, reading);
}
