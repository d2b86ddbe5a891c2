/** An agent whose way to control is bad: what callers were told stands, and nothing is half. */
import { join } from "node:path";
import { loadIdentity, saveIdentity } from "@aerodb/identity";
import { sleep } from "@aerodb/runtime";
import { expect, onTestFinished, test } from "vitest";
import { type Platform, usePlatform } from "../platform.ts";
import type { Answer, Tenant } from "../platform-client.ts";
import { until } from "../until.ts";
import { createBystander } from "./bystander.ts";
import { startChaosProxy } from "./chaos-proxy.ts";
import { expectAnswersStand, type Heard } from "./crowd.ts";
import { expectNothingHalf } from "./leftovers.ts";
import { agentHome } from "./reboot.ts";

const CALLERS = 6;
/** Each of them creates so many tenants, and deletes every other. */
const ROUNDS = 5;
const MOST_TRIES = 20;
const PAUSE_MS = 200;
const SEED = 20_260_611;
/** As often the agent had to dial again. */
const LEAST_CONNECTIONS = 8;
/** Done, unavailable, too late. */
const NAMED = new Set([200, 201, 503, 504]);

const platform = usePlatform();

/** Lets the agent dial something else than control, from its next start. */
function dialInstead(of: Platform, port: number): void {
  const directory = join(agentHome(of), "identity");
  const held = loadIdentity(directory) ?? expect.fail("the agent holds no identity");
  saveIdentity(directory, { ...held, linkAddress: `127.0.0.1:${port}` });
}

/** What a caller was told last about each name. */
async function comeAndGo(caller: number): Promise<readonly Heard[]> {
  const heard: Heard[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const created = await insist(`chaos-${caller}-${round}`, (caller + round) % 3 === 0);
    heard.push(...created);
    const { name = "", answer } = created.at(-1) ?? {};
    if (round % 2 === 0 || answer?.status !== 201) continue;
    heard.pop();
    heard.push({ verb: "delete", name, answer: await ask("DELETE", `/v1/tenants/${name}`) });
  }
  return heard;
}

/** A caller that is told that it cannot be done now comes again, with another name. */
async function insist(name: string, dedicated: boolean): Promise<readonly Heard[]> {
  const heard: Heard[] = [];
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const body = { name: `${name}-${tries}`, plan: dedicated ? "pro" : "free" };
    const answer = await ask("POST", "/v1/tenants", body);
    heard.push({ verb: "create", name: body.name, answer });
    if (answer?.status === 201) break;
    await sleep(PAUSE_MS);
  }
  return heard;
}

function ask(method: string, path: string, body?: object): Promise<Answer<Tenant> | undefined> {
  return platform()
    .request<Tenant>(method, path, body)
    .catch(() => undefined);
}

test("a stream that is cut, held up, told late and doubled loses nothing, and nothing is done twice", async () => {
  await platform().stop();
  const proxy = await startChaosProxy(platform().linkPort, SEED);
  onTestFinished(() => proxy.close());
  dialInstead(platform(), proxy.port);
  await platform().start();
  const bystander = await createBystander(platform(), "bystander");
  proxy.start();
  const callers = Array.from({ length: CALLERS }, (_, caller) => comeAndGo(caller));
  const heard = (await Promise.all(callers)).flat();
  await until(
    "enough trouble",
    () =>
      proxy.connections() >= LEAST_CONNECTIONS &&
      [...proxy.troubles.values()].every((made) => made),
    30_000,
  );
  await proxy.calm();

  const made = heard.filter(({ answer }) => answer?.status === 201 || answer?.status === 200);
  expect(made.length, "creates and deletes that were done").toBeGreaterThan(CALLERS);

  await platform().settled(60_000);
  await expectAnswersStand(platform(), heard);
  await expectNothingHalf(platform());
  await bystander.expectUndisturbed();
  const statuses = heard.map(({ answer }) => answer?.status ?? 503);
  const unnamed = statuses.filter((status) => !NAMED.has(status));
  expect(unnamed, "answers other than done, unavailable and too late").toEqual([]);
});
