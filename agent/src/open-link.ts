import type { Hello } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import type { Logger } from "@aerodb/runtime";
import type { CallingClient } from "@aerodb/wire";
import { takeAudit } from "./audit.ts";
import type { Host } from "./host.ts";
import { Link } from "./link.ts";
import { answerLog } from "./log-answers.ts";
import { reportOn } from "./observed.ts";
import { answerProof, encodeProof } from "./proof-messages.ts";
import { answerRelations } from "./relation-answers.ts";
import { sweep } from "./sweep.ts";
import { answerTrial } from "./trial-answers.ts";
import { decodeWarmOrder, encodeWarmReport } from "./warm-messages.ts";

/** Ties a link to a host: what changes on the host is reported, and control's words reach it. */
export function openLink(options: {
  readonly host: Host;
  readonly client: CallingClient;
  readonly hello: (generation: bigint) => Hello;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}): Link {
  const { host } = options;
  const { state, reconciler } = host;
  const link = new Link({
    ...options,
    intake: host.intake,
    usage: host.usage,
    samples: host.samples,
    report: (subjects = state.subjects()) => reportOn(subjects, state, reconciler, host.ends),
    audit: (auditId) => takeAudit({ ...host, logger: options.logger }, auditId),
    log: (request) => answerLog({ ...host, logger: options.logger }, request),
    sweep: (request) => sweep({ ...host, logger: options.logger }, request),
    warm: {
      order: (order) => host.warm.follow(decodeWarmOrder(order)),
      report: () => encodeWarmReport(host.warm.ready),
    },
    diskFull: () => host.fill.hostIsFull,
    proofs: () => host.isolation.newest().map(encodeProof),
    prove: (request) => answerProof(host.isolation, options.logger, request),
    tryTables: (request) => answerTrial({ ...host, logger: options.logger }, request),
    sizeRelations: (request) => answerRelations({ ...host, logger: options.logger }, request),
    nextSequence: () => host.sequence.next(),
  });
  host.onChange((subject) => link.changed(subject));
  host.onUsage(() => link.sendUsage());
  host.onWarm(() => link.sendWarm());
  host.onProofs((proofs) => link.sendProofs(proofs.map(encodeProof)));
  host.onDisk(() => link.sendDisk());
  host.onSamples(() => link.sendSamples());
  return link;
}
