import { Fault } from "@aerodb/model";

/**
 * A join token: who may join once, and by which authority the joiner knows that it talks to
 * control.
 */
export interface JoinToken {
  readonly id: string;
  readonly secret: string;
  /** SHA-256 of the authority's certificate, hex. */
  readonly caFingerprint: string;
}

const SHAPE = /^adb_join_([0-9a-z]{26})_([A-Za-z0-9_-]{43})\.([0-9a-f]{64})$/;

export function formatJoinToken(token: JoinToken): string {
  return `adb_join_${token.id}_${token.secret}.${token.caFingerprint}`;
}

/** Reads a join token. Throws INVALID_ARGUMENT. */
export function parseJoinToken(text: string): JoinToken {
  const [, id, secret, caFingerprint] = SHAPE.exec(text.trim()) ?? [];
  if (id !== undefined && secret !== undefined && caFingerprint !== undefined) {
    return { id, secret, caFingerprint };
  }
  throw new Fault(
    "INVALID_ARGUMENT",
    "The join token is malformed: make a new one with `aerodb hosts token create`.",
  );
}
