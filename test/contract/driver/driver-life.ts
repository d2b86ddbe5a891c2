/**
 * A process of its own that takes an instance through its life, and may be killed at any step of
 * it: what it is to do comes as a message.
 */
import { armFailpoints } from "@aerodb/runtime";
import type { InstanceSpec } from "../../../agent/src/instance-spec.ts";
import { type DriverRecipe, openDriver } from "./driver-kinds.ts";

export interface LifeOrder {
  readonly recipe: DriverRecipe;
  readonly spec: InstanceSpec;
  readonly failpoint: string;
}

const DEADLINE_MS = 60_000;

process.once("message", (order: LifeOrder) => {
  live(order).then(
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});

async function live({ recipe, spec, failpoint }: LifeOrder): Promise<void> {
  const driver = openDriver(recipe, new AbortController().signal);
  await driver.recover();
  armFailpoints(`${failpoint}=kill`);
  const signal = AbortSignal.timeout(DEADLINE_MS);
  await driver.make(spec, signal);
  await driver.start(spec, signal);
  await driver.stop(spec.id, "fast");
  await driver.destroy(spec.id);
}
