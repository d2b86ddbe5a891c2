/**
 * How a process of ours begins and ends: it tells its supervisor when it serves, ends cleanly when
 * it is asked to, and ends when its supervisor is gone.
 */
import { Fault, messageOf } from "@aerodb/model";
import { EXIT, exitCodeOf } from "./exit-code.ts";
import { serviceNotices } from "./service-notices.ts";

/**
 * Why a process ends. `terminate` leaves what it looks after running; `shut_down` stops that too.
 */
export type StopReason = "terminate" | "shut_down" | "orphaned";

/**
 * Resolves with the first reason to stop: SIGTERM is `terminate`, SIGINT is `shut_down`, and a
 * supervisor that went away is `orphaned`. A second signal ends the process at once.
 */
export function stopRequested(): Promise<StopReason> {
  return new Promise((resolve) => {
    let asked = false;
    function ask(reason: StopReason): void {
      if (asked && reason !== "orphaned") process.exit(130);
      asked = true;
      serviceNotices().stopping();
      resolve(reason);
    }
    process.on("SIGTERM", () => ask("terminate"));
    process.on("SIGINT", () => ask("shut_down"));
    process.once("disconnect", () => ask("orphaned"));
    // The supervisor may have gone before anybody listened for that.
    if (process.connected === false && process.send !== undefined) ask("orphaned");
  });
}

/** Calls back whenever the process is asked to read again what may change while it runs: SIGHUP. */
export function onReload(act: () => void): void {
  process.on("SIGHUP", act);
}

/**
 * Tells the supervisor, if there is one, that the process serves, with facts such as its ports:
 * `aerodb up` or systemd.
 */
export function announceReady(facts: Readonly<Record<string, string | number>>): void {
  serviceNotices().ready();
  process.send?.({ ready: facts });
}

/**
 * Ends the process once its work has ended. A fault is the operator's to mend: its sentence says
 * how, and the exit code tells scripts its kind. Anything else is a bug, and shows where.
 */
export function exitAfter(work: Promise<void>): void {
  work.then(
    () => process.exit(EXIT.ok),
    (error: unknown) => {
      const said = error instanceof Error && !(error instanceof Fault) ? error.stack : undefined;
      process.stderr.write(`${said ?? messageOf(error)}\n`);
      process.exit(exitCodeOf(error));
    },
  );
}
