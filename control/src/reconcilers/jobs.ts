/**
 * What must happen later or again, by graphile-worker in the catalogue: of several controls one
 * does each job, and a job that failed is tried again.
 */
import { messageOf } from "@aerodb/model";
import { monotonicMs, sleep } from "@aerodb/runtime";
import { Logger as JobLogger, parseCronItems, type Runner, run } from "graphile-worker";
import { evaluateAlerts } from "../app/alerts.ts";
import type { Control } from "../app/control.ts";
import { closeInvoices } from "../app/invoice-close.ts";
import { deliverInvoices } from "../app/invoice-delivery.ts";
import { evaluateQuotas } from "../app/quotas.ts";
import { rollUpUsage } from "../app/usage-records.ts";
import { emptyTomorrowsSamples } from "../store/samples.ts";
import { makeUsageMonths } from "../store/usage-records.ts";
import { giveUpOverdue } from "./overdue.ts";
import { purge } from "./purge.ts";

export interface Jobs {
  /** Ends after the jobs that run now. */
  stop(): Promise<void>;
}

const RESTART_MS = 5_000;
/** What hosts are given to be heard by a control that has just come up. */
const HEARING_MS = 60_000;

/** Starts the jobs. They go on by themselves after the catalogue was away. */
export function startJobs(control: Control, options: { readonly url: string }): Jobs {
  const stopping = new AbortController();
  let runner: Runner | undefined;

  async function runJobs(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        runner = await startRunner(control, options.url);
        if (stopping.signal.aborted) await runner.stop();
        await runner.promise;
      } catch (error) {
        control.logger.warn({ reason: messageOf(error) }, "jobs rest until the catalogue answers");
      }
      await sleep(RESTART_MS, stopping.signal).catch(() => undefined);
    }
  }

  const ended = runJobs();
  return {
    async stop() {
      stopping.abort();
      await runner?.stop().catch(() => undefined);
      await ended;
    },
  };
}

function startRunner(control: Control, url: string): Promise<Runner> {
  const log = control.logger.child({ part: "jobs" });
  const startedMs = monotonicMs();
  return run({
    connectionString: url,
    maxPoolSize: 3,
    // A slow one, as what waits for others, holds none back; each may run beside itself.
    concurrency: 3,
    noHandleSignals: true,
    logger: new JobLogger(() => (level, message) => {
      if (level === "error" || level === "warning") log.warn({ level }, message);
    }),
    taskList: {
      give_up_overdue: () => giveUpOverdue(control),
      purge: () => purge(control),
      close_invoices: async () => {
        await closeInvoices(control);
      },
      deliver_invoices: async () => {
        await deliverInvoices(control);
      },
      empty_tomorrows_samples: () => emptyTomorrowsSamples(control.database),
      evaluate_alerts: () =>
        evaluateAlerts(control, { hearsHosts: monotonicMs() - startedMs > HEARING_MS }),
      make_usage_months: () => makeUsageMonths(control.database),
      async roll_up_usage() {
        await rollUpUsage(control);
        await evaluateQuotas(control);
      },
    },
    parsedCronItems: parseCronItems([
      { task: "roll_up_usage", match: "* * * * *", options: { jobKey: "roll_up_usage" } },
      { task: "evaluate_alerts", match: "* * * * *", options: { jobKey: "evaluate_alerts" } },
      { task: "make_usage_months", match: "3 * * * *", options: { jobKey: "make_usage_months" } },
      { task: "give_up_overdue", match: "* * * * *", options: { jobKey: "give_up_overdue" } },
      { task: "deliver_invoices", match: "* * * * *", options: { jobKey: "deliver_invoices" } },
      { task: "close_invoices", match: "*/5 * * * *", options: { jobKey: "close_invoices" } },
      { task: "purge", match: "17 * * * *", options: { jobKey: "purge" } },
      // Whenever control was up for an hour of a day, the next day's table is empty.
      {
        task: "empty_tomorrows_samples",
        match: "42 * * * *",
        options: { jobKey: "empty_tomorrows_samples" },
      },
    ]),
  });
}
