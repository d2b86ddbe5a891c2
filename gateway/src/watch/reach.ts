/**
 * What clients found out by themselves in the span of time that is under way: which instances
 * answered, and who was let in. What is the client's own doing, such as a wrong password or a limit
 * of its tenant, is not told here.
 */
import type { IncidentCause } from "@aerodb/model";
import { decodeReport } from "@aerodb/postgres";
import type { Route } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { type ServerLogin, shutsDown } from "../wire/server-login.ts";
import { causeOf } from "./causes.ts";

/** What was found in one span. */
export interface Evidence {
  /** Instances that answered a client. */
  readonly answered: ReadonlySet<string>;
  /** Instances that were waited for in vain, and why. */
  readonly unanswered: ReadonlyMap<string, IncidentCause>;
  /** Tenants of which somebody was let in by their server. */
  readonly letIn: ReadonlySet<string>;
  /** Tenants whose server failed while it let somebody in. */
  readonly failing: ReadonlySet<string>;
}

export class Reach {
  #answered = new Set<string>();
  #unanswered = new Map<string, IncidentCause>();
  #letIn = new Set<string>();
  #failing = new Set<string>();

  /** An instance said something to a client. */
  answered(instanceId: string): void {
    this.#answered.add(instanceId);
  }

  /** A client waited for an instance for as long as it may. */
  unanswered(instanceId: string, because: string): void {
    this.#unanswered.set(instanceId, causeOf(because));
  }

  /** A server let a tenant's client in, or did not. */
  loggedIn({ tenantId, instanceId }: Pick<Route, "tenantId" | "instanceId">, login: ServerLogin) {
    switch (login.kind) {
      case "ready":
        this.#letIn.add(tenantId);
        return;
      case "refused":
        return;
      case "lost":
        this.#unanswered.set(instanceId, "no_answer");
        return;
      case "error":
        if (shutsDown(login.message)) this.#unanswered.set(instanceId, "starting");
        else if (isOwnFailure(login.message.payload)) this.#failing.add(tenantId);
    }
  }

  /** What was found since this was called last. */
  take(): Evidence {
    const evidence = {
      ...{ answered: this.#answered, unanswered: this.#unanswered },
      ...{ letIn: this.#letIn, failing: this.#failing },
    };
    this.#answered = new Set();
    this.#unanswered = new Map();
    this.#letIn = new Set();
    this.#failing = new Set();
    return evidence;
  }

  /** Whether an instance answered a client in this span. */
  hasAnswered(instanceId: string): boolean {
    return this.#answered.has(instanceId);
  }
}

/** No such database, an error of the system, an internal one: no client brings these about. */
function isOwnFailure(payload: Buffer): boolean {
  return /^(3D|58|XX)/.test(decodeReport(payload).get("C") ?? "");
}
