/** Whether who opened a stream may go on: asked at first, and whenever that may have changed. */
import type { ShownCertificate } from "@aerodb/identity";
import { Fault, messageOf } from "@aerodb/model";
import type { Logger } from "@aerodb/runtime";
import type { Fleet } from "../app/fleet.ts";
import { persist } from "./persist.ts";

interface EndableStream {
  readonly signal: AbortSignal;
  end(thrown: unknown): void;
}

/**
 * Resolves when the certificate that was shown is in force, and ends the stream as soon as it is
 * not any more. Throws PERMISSION_DENIED.
 */
export async function keepStanding(
  stream: EndableStream,
  shown: ShownCertificate,
  around: { readonly fleet: Fleet; readonly logger: Logger },
): Promise<void> {
  const { fleet, logger } = around;
  const { signal } = stream;
  // Watched before it is asked, so that no revocation falls between the two.
  const watch = fleet.watchIdentity(shown.id);
  signal.addEventListener("abort", () => watch.close(), { once: true });
  if (signal.aborted) watch.close();
  await fleet.requireStanding(shown);
  void follow();

  async function follow(): Promise<void> {
    try {
      for (;;) {
        await watch.changed(signal);
        await persist(() => fleet.requireStanding(shown), { signal, logger });
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Fault) logger.warn({ because: messageOf(error) }, "ends a stream");
      else logger.error({ err: error }, "bug while an identity was checked");
      stream.end(error);
    }
  }
}
