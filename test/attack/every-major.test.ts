/** Every attack on an instance, in both models, on every major that is supported. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attempted } from "./attempt.ts";
import { INSTANCE_CASES } from "./cases/index.ts";
import { appliesTo, MAJORS, type OpenScene, openScene } from "./scene.ts";

const MODELS = ["schema", "database"] as const;

describe.each(MAJORS.flatMap((major) => MODELS.map((model) => ({ major, model }))))(
  "on $major, model $model",
  (place) => {
    let scene: OpenScene;
    beforeAll(async () => {
      scene = await openScene(place.model, place.major);
    });
    afterAll(() => scene.close());

    test.each(INSTANCE_CASES.filter((each) => appliesTo(each, place)))("$id", async (each) => {
      expect(each.safe).toContain(await attempted(each, scene));
    });
  },
);
