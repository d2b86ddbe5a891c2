/**
 * What the agent found out about its host, kept for the next agent on it: one that starts on a busy
 * machine would else report that the host has lost whatever it did not find again in time.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import { replaceFile } from "@aerodb/runtime";

/** By the name of the probe. */
export type Findings = ReadonlyMap<string, unknown>;

interface Kept {
  readonly format: number;
  /** After another boot the machine may be another one. */
  readonly bootId: string;
  readonly findings: Findings;
}

/** Raised whenever a probe finds something of another shape than before. */
const FORMAT = 1;

export class LastFindings {
  readonly #path: string;
  readonly #bootId: string;
  #written: Buffer | undefined;

  constructor(home: string, bootId: string) {
    this.#path = join(home, "findings");
    this.#bootId = bootId;
  }

  /** Nothing when they are of another boot or agent, or cannot be read. */
  async read(): Promise<Findings> {
    try {
      const kept = deserialize(await readFile(this.#path)) as Kept;
      const holds = kept.format === FORMAT && kept.bootId === this.#bootId;
      return holds ? new Map(kept.findings) : new Map();
    } catch {
      return new Map();
    }
  }

  /** Never rejects: without them a busy start takes longer to know its host, and no more. */
  async write(findings: Findings): Promise<void> {
    const kept: Kept = { format: FORMAT, bootId: this.#bootId, findings };
    const bytes = serialize(kept);
    if (this.#written?.equals(bytes)) return;
    try {
      await replaceFile(this.#path, bytes, { flush: false });
      this.#written = bytes;
    } catch {}
  }
}
