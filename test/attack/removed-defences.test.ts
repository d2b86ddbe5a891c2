/**
 * Takes away each defence in turn: the proof must say so, and at least one attack must come to
 * what is not safe. Put back, both are as before. `ATTACK_MAJOR=16 npm run test:defences` does so
 * on another major.
 */
import { dropTenant, proveIsolation } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { appliesTo as appliesToPlace, holds } from "../../packages/postgres/src/isolation/rule.ts";
import type { AttackCase } from "./attack-case.ts";
import { attempted } from "./attempt.ts";
import { INSTANCE_CASES } from "./cases/index.ts";
import { dropFullTenant } from "./cases/writes.ts";
import { DEFENCES, type Defence, UNKNOWN } from "./removed-defences.ts";
import { appliesTo, NEWEST, type OpenScene, openScene } from "./scene.ts";

const MAJOR = Number(process.env["ATTACK_MAJOR"] ?? NEWEST);
/** Those that wait, or do what attacks nothing. */
const LEFT_OUT = /^(sessions|metering|shown|directory)\./;
const RELOAD_MS = 300;

/** Statements first: they are quick. */
const CASES = INSTANCE_CASES.filter(({ id }) => !LEFT_OUT.test(id)).toSorted(
  (one, other) => Number(typeof one.attack !== "string") - Number(typeof other.attack !== "string"),
);

async function firstToNotice(
  scene: OpenScene,
  cases: readonly AttackCase[],
): Promise<string | undefined> {
  for (const each of cases) {
    if (!each.safe.includes(await attempted(each, scene))) return each.id;
  }
  return undefined;
}

test("what is known of a defence is of one that is there", () => {
  expect(UNKNOWN).toEqual([]);
});

describe.each(["schema", "database"] as const)("in the model %s", (model) => {
  const shared = model === "schema";
  let scene: OpenScene;
  beforeAll(async () => {
    scene = await openScene(model, MAJOR);
  });
  afterAll(() => scene.close());

  async function broken(): Promise<readonly string[]> {
    await dropFullTenant(scene);
    const tenants = [...new Set([scene.attacker, scene.victim])];
    const asked = tenants.map(({ tenantId }) => ({ tenantId, connectionLimit: 10 }));
    const proofs = await proveIsolation(scene.walled.root, { shared, forced: false }, asked);
    return proofs.flatMap(({ rules }) => rules.filter((rule) => !holds(rule)).map(({ id }) => id));
  }

  async function change(statement: string, { rule }: Defence): Promise<void> {
    await scene.walled.root.query(statement);
    if (rule !== "instance.hba") return;
    await scene.walled.root.query("select pg_catalog.pg_reload_conf()");
    await sleep(RELOAD_MS);
  }

  /** Everything as it was; with other tenants, where dropping these is what undoes it. */
  async function putBack(defence: Defence, target: Parameters<Defence["done"]>[0]): Promise<void> {
    const { undone, before, beforeUndone } = defence;
    if (undone !== undefined) await change(undone(target), defence);
    if (beforeUndone !== undefined) await change(await beforeUndone(), defence);
    if (undone !== undefined && before === undefined) return;
    await replaceTenants();
  }

  async function replaceTenants(): Promise<void> {
    const { root } = scene.walled;
    const gone = new Set([scene.attacker.tenantId, scene.victim.tenantId]);
    scene = await scene.recast();
    for (const tenantId of gone) await dropTenant(root, tenantId);
  }

  const removable = DEFENCES.filter((defence) => {
    return appliesToPlace(defence, shared) && (defence.since ?? 0) <= MAJOR;
  }).map((defence) => ({ ...defence, ...(shared ? {} : defence.inOwnServer) }));
  const cases = CASES.filter((each) => appliesTo(each, { model, major: MAJOR }));

  test.each(removable)("$name: the proof and an attack notice that it is gone", async (defence) => {
    const { attacker, victim } = scene;
    const [self, neighbour] = defence.ofAttacker ? [attacker, victim] : [victim, attacker];
    const target = { self: self.name, neighbour: neighbour.name };
    const { noticed: known, proofOnly } = defence;
    const linked = cases.filter(({ id }) => !proofOnly && id === (known ?? id));
    let noticed: string | undefined;
    try {
      if (defence.before !== undefined) {
        await change(defence.before(target), defence);
        expect(await firstToNotice(scene, linked)).toBeUndefined();
      }
      await change(defence.done(target), defence);
      expect(await broken()).toContain(defence.rule);
      noticed = await firstToNotice(scene, linked);
      expect(noticed !== undefined, "no attack notices").toBe(!proofOnly);
    } finally {
      await putBack(defence, target);
    }
    expect(await broken()).toEqual([]);
    const again = cases.filter(({ id }) => id === noticed);
    expect(await firstToNotice(scene, again)).toBeUndefined();
  });

  test("what only the proof notices opens nothing, even all at once", async () => {
    const target = { self: scene.victim.name, neighbour: scene.attacker.name };
    const quiet = removable.filter(({ proofOnly }) => proofOnly !== undefined);
    // What another does as well is done with it.
    const each = quiet.filter((one) => {
      const text = one.done(target);
      return !quiet.some((other) => other !== one && other.done(target).includes(text));
    });
    try {
      for (const defence of each) await change(defence.done(target), defence);
      expect(await firstToNotice(scene, cases)).toBeUndefined();
    } finally {
      const { root } = scene.walled;
      for (const { undone } of each) if (undone !== undefined) await root.query(undone(target));
      await replaceTenants();
    }
    expect(await broken()).toEqual([]);
  });
});
