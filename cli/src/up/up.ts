/** `aerodb up`: starts the platform, keeps it running, and stops it when it is asked to. */
import { Fault, messageOf } from "@aerodb/model";
import { EXIT, exitCodeOf, monotonicMs } from "@aerodb/runtime";
import type { UpSettings } from "../config.ts";
import { seconds } from "../progress.ts";
import { readyText } from "./box.ts";
import { Platform } from "./platform.ts";
import { createReporter } from "./reporter.ts";
import { watchStopSignals } from "./stop-signals.ts";

/** Runs until a signal says stop. Resolves with the exit code. */
export async function up(settings: UpSettings): Promise<number> {
  const startedAt = monotonicMs();
  // Servers under users of their own must get through; what is secret is closed file by file.
  process.umask(0o022);
  const reporter = createReporter();
  const signals = watchStopSignals();
  const platform = new Platform(settings, reporter);
  let code: number = EXIT.ok;
  try {
    const started = await Promise.race([platform.start(signals.stop), signals.stopped]);
    if (started !== undefined) {
      reporter.line(`  started in ${seconds(monotonicMs() - startedAt)}`);
      process.stdout.write(`\n${readyText(settings, started)}\n`);
      await signals.stopped;
    }
  } catch (error) {
    if (!signals.stop.aborted) {
      code = exitCodeOf(error);
      process.stderr.write(`aerodb: ${messageOf(error)}\n`);
      if (!(error instanceof Fault)) console.error(error);
    }
  }
  if (signals.stop.aborted) reporter.line("Stopping (again to stop harder)");
  signals.onSecond(() => {
    reporter.line("Stopping at once");
    void platform.kill();
  });
  await platform.stop();
  if (signals.stop.aborted) reporter.line("Stopped.");
  return code;
}
