/**
 * Kills pieces of a platform at named steps, one step of each piece a round, without starting all
 * of it anew: an order is a file, which goes when the step is reached.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { Platform } from "../platform.ts";
import { until } from "../until.ts";

/** Which step of each piece; undefined where there is none left. */
export interface Steps {
  readonly control: string | undefined;
  readonly agent: string | undefined;
}

export interface KillOrders {
  /** For the platform. */
  readonly environment: Readonly<Record<string, string>>;
  give(steps: Steps): void;
  /** Waits until each piece was killed at the step that was last named. */
  carriedOut(platform: Platform): Promise<void>;
  /** Every step at which a piece was killed. */
  readonly fired: ReadonlySet<string>;
}

/** For the tests of a file. Takes its directory away after them. */
export function killOrders(): KillOrders {
  const directory = mkdtempSync(join(tmpdir(), "aerodb-orders-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const fileOf = (piece: string) => join(directory, piece);
  const fired = new Set<string>();
  let given: readonly (readonly [piece: string, step: string])[] = [];

  function give({ control, agent }: Steps): void {
    given = Object.entries({ control, "agent-1": agent }).flatMap(([piece, step]) =>
      step === undefined ? [] : [[piece, step] as const],
    );
    for (const [piece, step] of given) writeFileSync(fileOf(piece), `${step}=kill`);
  }

  async function carriedOut(platform: Platform): Promise<void> {
    for (const [piece, step] of given) {
      await until(`${piece} to be killed at ${step}`, () => {
        return !existsSync(fileOf(piece)) && platform.output.includes(`${piece} was killed by`);
      });
      fired.add(step);
    }
  }

  const environment = {
    AERODB_FAILPOINTS_CONTROL: `@${fileOf("control")}`,
    AERODB_FAILPOINTS_AGENT: `@${fileOf("agent-1")}`,
  };
  return { environment, give, carriedOut, fired };
}
