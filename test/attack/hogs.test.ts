/** Floods and hogs in a shared instance, with a neighbour measured. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { attempted } from "./attempt.ts";
import { HOGS, MEASURED } from "./cases/hogs.ts";
import { NEWEST, type OpenScene, openScene } from "./scene.ts";

let scene: OpenScene;
beforeAll(async () => {
  scene = await openScene("schema", NEWEST);
});
afterAll(async () => {
  for (const [id, { transactions, failed, p99Ms }] of MEASURED) {
    const rate = ((1 - failed / transactions) * 100).toFixed(1);
    console.log(
      `${id}: ${transactions} transactions of the neighbour, ${rate} % served, ` +
        `p99 ${p99Ms.toFixed(1)} ms`,
    );
  }
  await scene.close();
});

test.each(HOGS)("$id", async (each) => {
  expect(each.safe).toContain(await attempted(each, scene));
});
