/** Keeps the fingerprint of the host true: takes it again at times, and tells when it changed. */
import type { Fingerprint } from "@aerodb/rpc/aerodb/agent/v1/fingerprint_pb.js";
import { FingerprintSchema } from "@aerodb/rpc/aerodb/agent/v1/fingerprint_pb.js";
import { every } from "@aerodb/runtime";
import { clone, create, equals } from "@bufbuild/protobuf";
import { readSpace } from "./file-systems.ts";
import { LastFindings } from "./last-findings.ts";
import { readBootId } from "./machine.ts";
import type { Prober } from "./prober.ts";
import {
  describeFileSystems,
  type FingerprintOptions,
  openProber,
  type Taken,
  takeFingerprint,
} from "./take-fingerprint.ts";

/** What a host is changes when somebody works on it. */
const TAKE_MS = 900_000;
/** What is free changes by itself. Also how soon a probe that was late is looked at again. */
const SPACE_MS = 30_000;

export class FingerprintWatch {
  readonly #prober: Prober;
  readonly #findings: LastFindings;
  readonly #options: FingerprintOptions;
  readonly #listeners: (() => void)[] = [];
  #taken: Taken;
  #taking: Promise<void> | undefined;
  /** Adds what was late; all of it is taken anew after that, so that the newer one stays. */
  #completing: Promise<void> = Promise.resolve();

  private constructor(
    options: FingerprintOptions,
    from: { readonly prober: Prober; readonly findings: LastFindings; readonly taken: Taken },
  ) {
    this.#options = options;
    this.#prober = from.prober;
    this.#findings = from.findings;
    this.#taken = from.taken;
  }

  /** Takes it for the first time. */
  static async open(options: FingerprintOptions): Promise<FingerprintWatch> {
    const findings = new LastFindings(options.home, await readBootId());
    const prober = openProber(options, await findings.read());
    const taken = await takeFingerprint(prober, options);
    const watch = new FingerprintWatch(options, { prober, findings, taken });
    watch.#takeWhenKnown();
    await findings.write(prober.known);
    return watch;
  }

  get current(): Fingerprint {
    return this.#taken.fingerprint;
  }

  /** Calls back after every change. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Takes it again from time to time until the signal is aborted. */
  run(signal: AbortSignal): void {
    every(TAKE_MS, () => this.takeAgain(), signal);
    every(SPACE_MS, () => (this.#prober.isLate ? this.takeAgain() : this.lookAtSpace()), signal);
  }

  /** Takes it again now; who asks while that is done waits for the same. */
  takeAgain(): Promise<void> {
    this.#taking ??= this.#completing
      .then(() => this.#take({}))
      .finally(() => {
        this.#taking = undefined;
      });
    return this.#taking;
  }

  async #take(how: { readonly reuse?: boolean }): Promise<void> {
    this.#accept(await takeFingerprint(this.#prober, this.#options, how));
    this.#takeWhenKnown();
    await this.#findings.write(this.#prober.known);
  }

  /** A machine that is busy as the agent starts is known a little later, part by part. */
  #takeWhenKnown(): void {
    void this.#prober.untilMoreIsKnown()?.then(() => {
      // Whoever takes all of it anew takes this along.
      if (this.#taking === undefined) this.#completing = this.#take({ reuse: true });
    });
  }

  /** Looks at what is free, which costs nothing. */
  async lookAtSpace(): Promise<void> {
    const before = this.#taken;
    const find = (): Promise<Taken["fileSystems"]> => readSpace(before.fileSystems);
    const fileSystems = await this.#prober.probe("what is free", find);
    // Taken anew meanwhile: that is newer.
    if (fileSystems === undefined || this.#taken !== before) return;
    const fingerprint = clone(FingerprintSchema, before.fingerprint);
    const space = create(FingerprintSchema, describeFileSystems(fileSystems));
    fingerprint.fileSystems = space.fileSystems;
    fingerprint.diskBytes = space.diskBytes;
    this.#accept({ fingerprint, fileSystems });
  }

  #accept(taken: Taken): void {
    const changed = !equals(FingerprintSchema, taken.fingerprint, this.#taken.fingerprint);
    this.#taken = taken;
    if (!changed) return;
    this.#options.logger.info("the host is not what it was");
    for (const listener of this.#listeners) listener();
  }
}
