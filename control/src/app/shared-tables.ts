/**
 * Changes of the tables that tenants of shared instances share: tried where they would be applied,
 * written down once that went well, and applied by agents from then on, in every shared instance.
 */
import { Fault } from "@aerodb/model";
import { digestOf } from "@aerodb/postgres";
import { after, failpoint } from "@aerodb/runtime";
import type { InstanceBehind, StoredChange } from "../store/shared-tables.ts";
import * as store from "../store/shared-tables.ts";
import type { Caller, Control } from "./control.ts";
import type { HostQuestions, TrialQuestion, TrialReport } from "./host-questions.ts";
import { cleanText } from "./text.ts";

export type { InstanceBehind, StoredChange };

export interface AppliedChange {
  readonly change: StoredChange;
  /** Whether it was there before. */
  readonly repeated: boolean;
}

/** Long enough for agents that have nothing else to do. */
const APPLIED_MS = 10_000;
const TRIALS_AT_ONCE = 100;
const MAX_TEXT = 2_000;

export interface ListedChanges {
  /** Oldest first. */
  readonly changes: readonly StoredChange[];
  /** Instances that are not known to have all of them. */
  readonly behind: readonly InstanceBehind[];
}

/** Every change, and where some are missing. */
export async function listSharedTables({ database }: Control): Promise<ListedChanges> {
  const [changes, behind] = await Promise.all([
    store.listChanges(database),
    store.listBehind(database),
  ]);
  return { changes, behind };
}

/**
 * Applies a change everywhere, once. Answers when every instance that can be reached has it, or
 * after a while. SHARED_TABLES_REFUSED for what cannot be applied, SHARED_TABLES_NAME_EXISTS for
 * other SQL under a known name, NO_SHARED_INSTANCE where it cannot be tried, SUPERSEDED when
 * another change came first; then nothing is written.
 */
export async function applySharedTables(
  control: Control,
  ask: {
    readonly questions: HostQuestions;
    readonly caller: Caller;
    readonly name: string;
    readonly sql: string;
    readonly signal: AbortSignal;
  },
): Promise<AppliedChange> {
  const { questions, caller, name, sql, signal } = ask;
  if (sql.includes("\0")) throw new Fault("INVALID_ARGUMENT", "SQL cannot contain a NUL.");
  const sha256 = digestOf({ sql });
  const before = await store.listChanges(control.database);
  const known = requireSame(before, name, sha256);
  if (known !== undefined) return { change: known, repeated: true };

  const number = before.length + 1;
  await tryEverywhere(control, questions, { kind: "trial", number, name, sql }, signal);
  await failpoint("control.shared_tables.tried");
  const eventRequestId = caller.requestId;
  const change = { number, name, sql, sha256, principal: caller.principal, eventRequestId };
  const written = await store.insertChange(control.database, change);
  await failpoint("control.shared_tables.written");
  if (written) await untilApplied(control, number, signal);

  const found = requireSame(await store.listChanges(control.database), name, sha256);
  if (found !== undefined) return { change: found, repeated: !written };
  throw new Fault("SUPERSEDED", "Another change was applied meanwhile: apply this one again.");
}

/** The change of a name; undefined when there is none. Refuses one with other SQL. */
function requireSame(
  changes: readonly StoredChange[],
  name: string,
  sha256: string,
): StoredChange | undefined {
  const known = changes.find((change) => change.name === name);
  if (known === undefined || known.sha256 === sha256) return known;
  throw new Fault(
    "SHARED_TABLES_NAME_EXISTS",
    `${JSON.stringify(name)} was applied with other SQL, and what was applied is never edited: ` +
      "write what is to change into a file with another name.",
  );
}

async function tryEverywhere(
  control: Control,
  questions: HostQuestions,
  question: TrialQuestion,
  signal: AbortSignal,
): Promise<void> {
  const hosts = await store.listSharedHosts(control.database);
  if (hosts.length === 0) {
    throw new Fault(
      "NO_SHARED_INSTANCE",
      "There is no shared instance to try the change in: create a tenant of the isolation " +
        '"schema" first. Its instance stays when the tenant is deleted.',
    );
  }
  const waiting = hosts.filter(({ connected }) => connected).map(({ hostId }) => hostId);
  let tried = 0;
  async function ask(): Promise<void> {
    for (let hostId = waiting.shift(); hostId !== undefined; hostId = waiting.shift()) {
      const report = await questions.ask(hostId, question, signal);
      requireAccepted(report);
      tried += report.instanceIds.length;
    }
  }
  await Promise.all(Array.from({ length: TRIALS_AT_ONCE }, ask));
  if (tried > 0) return;
  throw new Fault(
    "UNAVAILABLE",
    "No shared instance can be reached to try the change in: try again when one runs.",
  );
}

function requireAccepted({ refusal, sqlState, line, instanceIds }: TrialReport): void {
  if (refusal === "") return;
  const where = line > 0 ? `Line ${line}: ` : "";
  const details = { sql_state: sqlState, line, instance_id: instanceIds.at(-1) ?? "" };
  const sentence = cleanText(refusal, MAX_TEXT);
  const said = sqlState === "" ? sentence : `${sentence} (SQLSTATE ${sqlState})`;
  throw new Fault("SHARED_TABLES_REFUSED", `${where}${said}`, { details });
}

/** Whoever waits in vain is answered all the same: agents go on. */
async function untilApplied(control: Control, number: number, signal: AbortSignal): Promise<void> {
  const late = new AbortController();
  const cancel = after(APPLIED_MS, () => late.abort());
  const look = async () => ((await store.isUnderWay(control.database, number)) ? undefined : true);
  try {
    await control.changes.untilSharedTables(look, AbortSignal.any([signal, late.signal]));
  } catch (error) {
    signal.throwIfAborted();
    if (!late.signal.aborted) throw error;
  } finally {
    cancel();
  }
}
