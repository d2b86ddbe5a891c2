import { existsSync, readFileSync } from "node:fs";
import { replaceFileSync } from "@aerodb/runtime";

/** Numbers put aside at once: so many are lost when the agent is killed, and none is used twice. */
const BLOCK = 1_000_000n;

/** Numbers that only grow, over restarts too, at the cost of one write for a million of them. */
export class Sequence {
  readonly #path: string;
  #last: bigint;
  #reserved: bigint;

  constructor(path: string) {
    this.#path = path;
    this.#last = existsSync(path) ? BigInt(readFileSync(path, "utf8").trim()) : 0n;
    this.#reserved = this.#last;
  }

  next(): bigint {
    this.#last += 1n;
    if (this.#last > this.#reserved) this.#reserve();
    return this.#last;
  }

  #reserve(): void {
    this.#reserved = this.#last + BLOCK;
    replaceFileSync(this.#path, this.#reserved.toString());
  }
}
