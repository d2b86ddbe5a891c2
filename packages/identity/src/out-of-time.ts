/**
 * What TLS says when it refuses the certificate of the other end because of the time. A server of
 * ours renews its own, so that it is the clock here that is to be looked at first.
 */
const OUT_OF_TIME = /certificate (?:is not yet valid|has expired)/;

/** What to do, a sentence; undefined when something else is why a connection failed. */
export function remedyOfTime(because: string): string | undefined {
  if (!OUT_OF_TIME.test(because)) return undefined;
  return "The certificate of the other end is out of its time: set the clock of this machine.";
}
