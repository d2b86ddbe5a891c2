/** Attacks that need a whole platform, on one of the newest engine. */
import { beforeAll, expect, test } from "vitest";
import { usePlatform } from "../platform.ts";
import { PLATFORM_CASES } from "./cases/index.ts";
import type { Stage } from "./platform-case.ts";

const isRoot = process.getuid?.() === 0;
const platform = usePlatform();
let stage: Stage;

beforeAll(async () => {
  const tenant = (name: string, plan: string) => platform().createTenant({ name, plan });
  const attacker = await tenant("attacker", "free");
  const scopes = [`tenant:${attacker.tenant_id}`];
  const key = await platform().request("POST", "/v1/keys", { name: "attacker", scopes });
  stage = {
    platform: platform(),
    attacker,
    key: key.body.secret,
    victim: await tenant("victim", "free"),
    first: await tenant("first-co", "pro"),
    second: await tenant("second-co", "pro"),
  };
});

test.each(PLATFORM_CASES.filter(({ asRoot }) => isRoot || asRoot !== true))(
  "$id",
  async ({ attack, safe }) => {
    expect(safe).toContain(await attack(stage));
  },
);
