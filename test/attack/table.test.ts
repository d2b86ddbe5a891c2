/** The table of attacks itself: nothing is there twice, and nothing that must be is missing. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { NOT_HIDDEN } from "../../control/src/app/isolation.ts";
import { REPOSITORY } from "../program.ts";
import { HOGS, INSTANCE_CASES, PLATFORM_CASES } from "./cases/index.ts";
import { FAMILIES } from "./families.ts";
import { appliesTo, MAJORS } from "./scene.ts";

const LEAST_PER_MODEL = 120;
/** What is felt and not seen: no query asks for it. */
const FELT = "Tenants share memory";
const CASES = [...INSTANCE_CASES, ...HOGS, ...PLATFORM_CASES];

test("every case has an id of its own and an outcome that is safe", () => {
  const ids = CASES.map(({ id }) => id);
  expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
  for (const { id, safe } of CASES) expect([id, safe.length > 0]).toEqual([id, true]);
});

test("every family that an attack test must cover has cases, and every case a family", () => {
  const found = new Set(CASES.map(({ id }) => id.split(".")[0]));
  expect(found).toEqual(new Set(Object.values(FAMILIES).flat()));
});

test.each(MAJORS)("on %i both models are attacked", (major) => {
  for (const model of ["schema", "database"] as const) {
    const tried = INSTANCE_CASES.filter((each) => appliesTo(each, { model, major }));
    expect(tried.length).toBeGreaterThanOrEqual(LEAST_PER_MODEL);
  }
});

test("what Postgres cannot hide is what reports and the guide say, and nothing else", () => {
  const shown = [...INSTANCE_CASES, ...HOGS].filter(({ documented }) => documented !== undefined);
  const guide = readFileSync(join(REPOSITORY, "docs/guides/isolation.md"), "utf8");
  const named = [...guide.matchAll(/`((?:shown|hogs)\.\w+)`/g)].map(([, id]) => id);
  expect(new Set(named)).toEqual(new Set(shown.map(({ id }) => id)));
  for (const sentence of NOT_HIDDEN.schema) {
    const seen = shown.some(({ documented = "" }) => sentence.startsWith(documented));
    expect([sentence, seen || sentence.startsWith(FELT)]).toEqual([sentence, true]);
  }
  for (const { id, documented = "" } of shown) {
    const said = NOT_HIDDEN.schema.some((sentence) => sentence.startsWith(documented));
    expect([id, said]).toEqual([id, true]);
  }
});
