/**
 * What `up` says while it works: a line per step, and a line when something dies and comes back.
 */
import { styleText } from "node:util";
import { monotonicMs } from "@aerodb/runtime";
import { seconds, showProgress } from "../progress.ts";
import type { PieceEvent } from "./piece.ts";

export interface Reporter {
  /** Does a step; says how long it took, and what came of it. */
  step<Value>(
    label: string,
    work: () => Promise<Value>,
    outcome?: (value: Value) => string,
  ): Promise<Value>;
  line(text: string): void;
  piece(name: string, event: PieceEvent): void;
}

export function createReporter(stream: NodeJS.WriteStream = process.stderr): Reporter {
  function line(text: string): void {
    stream.write(`${text}\n`);
  }
  return {
    line,
    async step(label, work, outcome) {
      const startedAt = monotonicMs();
      const value = await showProgress(label, work(), { stream, quietMs: 300 });
      const took = styleText("dim", seconds(monotonicMs() - startedAt), { stream });
      const tick = styleText("green", "✓", { stream });
      line(`${tick} ${label}${outcome === undefined ? "" : `: ${outcome(value)}`} ${took}`);
      return value;
    },
    piece(name, event) {
      switch (event.kind) {
        case "died": {
          const again = `started again in ${seconds(event.againInMs)}`;
          line(`${styleText("yellow", "!", { stream })} ${name} ${event.how}; ${again}`);
          return;
        }
        case "serves_again":
          line(`${styleText("green", "✓", { stream })} ${name} serves again`);
      }
    },
  };
}
