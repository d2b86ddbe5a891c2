/** Who uses a server of a pool at the moment, as the server knows it. */
import type { SessionSettings } from "@aerodb/postgres";

export interface Holder {
  /** Takes bytes of the server. */
  receive(bytes: Buffer): void;
  /** The server has answered everything, outside of a transaction. */
  rested(): void;
  /** It waits for more: a transaction is open, or something was asked that no Sync has followed. */
  paused(): void;
  /** One thing that it asked is answered. */
  answered(answered: Answered): void;
  /** The server is gone, and may have said why: the beginning of an error, heard here or not. */
  lost(failure: Buffer | undefined, isTold: boolean): void;
  /** The server has set something for the client. */
  changed(name: string, value: string): void;
  /** It has settings of its start again. */
  putBack(settings: SessionSettings): void;
  /** The server has forgotten every statement that the client prepared. */
  forgotten(): void;
}

/** How one thing went that was asked. */
export interface Answered {
  /** Whether it, or what it asked last, failed. */
  readonly failed: boolean;
  /** Whether no transaction is open after it. */
  readonly outside: boolean;
}
