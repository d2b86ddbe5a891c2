/**
 * Gateways that listen on the same ports of one machine. The kernel gives a cancel request to any
 * of them, so each has a number, which the keys of its clients carry. In a directory that they
 * share, a link by that number leads to its home, where its socket is.
 */
import {
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  type Stats,
  statSync,
  symlinkSync,
} from "node:fs";
import { request } from "node:http";
import { join, resolve } from "node:path";
import { Fault, messageOf } from "@aerodb/model";
import { type BackendKey, encodeBackendKey } from "@aerodb/postgres";
import type { Logger } from "@aerodb/runtime";
import { ADMIN_SOCKET } from "./admin-socket.ts";
import { LARGEST_NUMBER, numberIn } from "./wire/cancel-keys.ts";
import { withDeadline } from "./wire/deadline.ts";

const SETTING = "AERODB_GATEWAY_SIBLINGS_DIRECTORY";
const NUMBER = /^[1-9][0-9]?$/;
const OTHERS_WRITE = 0o022;
/** A little more than a server may take to accept one. */
const PASS_MS = 6_000;

export class Siblings {
  readonly number: number;
  readonly #directory: string;
  readonly #logger: Logger;

  private constructor(directory: string, number: number, logger: Logger) {
    this.#directory = directory;
    this.number = number;
    this.#logger = logger;
  }

  /** Takes the number that the home has, or a free one. Throws where others may change links. */
  static join(directory: string, home: string, logger: Logger): Siblings {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    if (!isOurs(statSync(directory))) {
      const must = "must belong to the user of the gateway, and nobody else may write to it";
      throw new Fault("INVALID_ARGUMENT", `${SETTING}: ${directory} ${must}.`);
    }
    return new Siblings(directory, takeNumber(directory, resolve(home)), logger);
  }

  /**
   * Gives a cancel request to the gateway that made its key, if that is another. That one passes it
   * on to nobody. Resolves once it has done with it, or cannot.
   */
  async pass(key: BackendKey, signal: AbortSignal): Promise<void> {
    const number = numberIn(key);
    if (number === 0 || number === this.number) return;
    const socketPath = join(this.#directory, String(number), ADMIN_SOCKET);
    try {
      await withDeadline(PASS_MS, signal, (ending) => postCancel(socketPath, key, ending));
    } catch (error) {
      this.#logger.debug({ number, because: messageOf(error) }, "a cancel request went nowhere");
    }
  }

  /** Gives the number back. */
  leave(): void {
    rmSync(join(this.#directory, String(this.number)), { force: true });
  }
}

function isOurs({ uid, mode }: Stats): boolean {
  return uid === process.geteuid?.() && (mode & OTHERS_WRITE) === 0;
}

function takeNumber(directory: string, home: string): number {
  const names = readdirSync(directory).filter((name) => NUMBER.test(name));
  const held = names.find((name) => linkAt(join(directory, name)) === home);
  if (held !== undefined) return Number(held);
  for (let number = 1; number <= LARGEST_NUMBER; number += 1) {
    try {
      // Fails where there is one: nobody else gets the number.
      symlinkSync(home, join(directory, String(number)));
      return number;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
  const most = `${directory} has links of ${LARGEST_NUMBER} gateways`;
  throw new Fault("UNAVAILABLE", `${SETTING}: ${most}: remove those of gateways that are gone.`);
}

/** Undefined where there is none: its gateway may have given it back just now. */
function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function postCancel(socketPath: string, key: BackendKey, signal: AbortSignal): Promise<void> {
  return new Promise((done, failed) => {
    const options = { socketPath, method: "POST", path: "/cancels", agent: false, signal };
    const asked = request(options, (response) => {
      response.on("error", failed).on("end", done).resume();
    });
    asked.on("error", failed);
    asked.end(encodeBackendKey(key));
  });
}
