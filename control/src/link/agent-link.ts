/** LinkService: the streams of agents, one for each host that is connected here. */
import { type ShownCertificate, shownCertificate } from "@aerodb/identity";
import { Fault, type HostId, messageOf } from "@aerodb/model";
import type {
  ConnectRequest,
  ConnectResponse,
  Hello,
} from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { after, type Logger } from "@aerodb/runtime";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { AgentProcess, Fleet } from "../app/fleet.ts";
import type { Agents, AnswerTo, Question } from "../app/host-questions.ts";
import { AgentProcesses, conflicting } from "./agent-processes.ts";
import {
  AgentSession,
  type AgentStream,
  LINK_TIMES,
  type LinkTimes,
  takenOver,
} from "./agent-session.ts";
import { ClockOffset } from "./clock-offset.ts";
import { decodeHello } from "./decode-observed.ts";
import { LinkStream } from "./link-stream.ts";
import { keepStanding } from "./standing.ts";

export type AgentCall = ServerDuplexStream<ConnectRequest, ConnectResponse>;

export interface AgentLinkOptions {
  readonly fleet: Fleet;
  readonly logger: Logger;
  readonly times?: LinkTimes;
}

export class AgentLink implements Agents {
  readonly #fleet: Fleet;
  readonly #logger: Logger;
  readonly #times: LinkTimes;
  readonly #sessions = new Map<HostId, AgentSession>();
  readonly #streams = new Set<AgentStream>();
  readonly #processes: AgentProcesses;

  constructor(options: AgentLinkOptions) {
    this.#fleet = options.fleet;
    this.#logger = options.logger;
    this.#times = options.times ?? LINK_TIMES;
    this.#processes = new AgentProcesses(this.#times.conflictMs);
  }

  /** Hosts whose agent is connected to this process. */
  get connectedHosts(): readonly HostId[] {
    return [...this.#sessions.keys()];
  }

  /** Serves one stream. */
  readonly connect = (call: AgentCall): void => {
    const stream: AgentStream = new LinkStream(call);
    const shown = shownCertificate(call);
    if (shown?.kind !== "host") {
      stream.end(new Fault("PERMISSION_DENIED", "Only the agent of a host may dial this."));
      return;
    }
    this.#streams.add(stream);
    stream.signal.addEventListener("abort", () => this.#streams.delete(stream), { once: true });
    this.#awaitHello(stream, shown, call.getPeer());
  };

  ask<Asked extends Question>(
    hostId: HostId,
    question: Asked,
    signal: AbortSignal,
  ): Promise<AnswerTo<Asked>> | undefined {
    return this.#sessions.get(hostId)?.ask(question, signal);
  }

  /** Ends every stream; agents dial again, here or elsewhere. */
  close(): void {
    const fault = new Fault("UNAVAILABLE", "control stops; dial again.");
    for (const stream of this.#streams) stream.end(fault);
  }

  #awaitHello(stream: AgentStream, shown: ShownCertificate, address: string): void {
    const { helloMs } = this.#times;
    const cancel = after(helloMs, () => {
      stream.end(new Fault("OPERATION_TIMED_OUT", `Waited ${helloMs} ms for a hello.`));
    });
    stream.signal.addEventListener("abort", cancel, { once: true });
    let opening: Promise<AgentSession | undefined> | undefined;
    stream.receive(
      ({ message, ...rest }) => {
        if (opening !== undefined) {
          void opening.then((session) => session?.take({ message, ...rest }));
        } else if (message.case === "hello") {
          cancel();
          opening = this.#open(stream, shown, { address, hello: message.value });
        } else {
          stream.end(new Fault("INVALID_ARGUMENT", "The first message must be a hello."));
        }
      },
      () => stream.end(),
    );
  }

  /** Begins the session of a host; undefined when that failed, and then the stream is over. */
  async #open(
    stream: AgentStream,
    shown: ShownCertificate,
    { hello, address }: { readonly hello: Hello; readonly address: string },
  ): Promise<AgentSession | undefined> {
    const fleet = this.#fleet;
    const hostId = shown.id as HostId;
    const clock = new ClockOffset();
    clock.note(hello.sentAt);
    const logger = this.#logger.child({ host: hostId });
    try {
      await keepStanding(stream, shown, { fleet, logger });
      const { processId: id, edgeAddress, agentVersion } = hello;
      await this.#admit(hostId, { id, address, edgeAddress, agentVersion });
      const { token } = await fleet.hostConnected(hostId, decodeHello(hello));
      const session = new AgentSession({
        ...{ hostId, token, stream, fleet, logger, clock },
        times: this.#times,
      });
      this.#sessions.get(hostId)?.end(takenOver());
      this.#sessions.set(hostId, session);
      logger.info({ version: hello.agentVersion, edge: hello.edgeAddress }, "agent connected");
      void session.run().finally(() => this.#ended(session, token));
      return session;
    } catch (error) {
      if (!(error instanceof Fault)) logger.error({ err: error }, "bug in a hello");
      stream.end(error);
      return undefined;
    }
  }

  /** Throws HOST_CONNECTED when another agent with the identity of the host is kept. */
  async #admit(hostId: HostId, process: AgentProcess): Promise<void> {
    const connected = this.#sessions.has(hostId);
    const conflict = this.#processes.admit(hostId, process, { connected });
    if (conflict === undefined) return;
    const { kept, refused } = conflict;
    const sentence = "two agents run with the identity of a host: keeps who was first";
    this.#logger.warn({ host: hostId, kept, refused }, sentence);
    this.#sessions.get(hostId)?.end(conflicting(hostId, kept));
    await this.#fleet.hostConflicted(hostId, conflict);
    this.#processes.told(hostId, conflict);
  }

  async #ended(session: AgentSession, token: string): Promise<void> {
    const { hostId } = session;
    if (this.#sessions.get(hostId) === session) {
      this.#sessions.delete(hostId);
      this.#processes.left(hostId);
    }
    this.#logger.info({ host: hostId }, "agent disconnected");
    try {
      await this.#fleet.hostDisconnected(hostId, token);
    } catch (error) {
      // The catalogue notices by itself that the host is not heard any more.
      this.#logger.warn({ host: hostId, because: messageOf(error) }, "could not note a disconnect");
    }
  }
}
