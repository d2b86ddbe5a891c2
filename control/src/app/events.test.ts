import { sql } from "@aerodb/db";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { listEvents } from "./events.ts";
import { faultOf, openPlatform, type PlatformFixture, startCatalogue } from "./fake-platform.ts";

let server: CatalogueServer;
let platform: PlatformFixture;

beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server, { waitMs: 5_000 });
  await platform.addAgent("h1");
});
afterEach(() => platform.close());

test("events are found by when they happened: from then on, and up to then", async () => {
  for (const name of ["one", "two", "three"]) await platform.create(name);
  const filter = { kind: "tenant.create" };
  const all = await listEvents(platform.control, filter);
  expect(all.events).toHaveLength(3);
  const [third, second, first] = all.events.map(({ at }) => at);
  async function found(times: { readonly since?: Date; readonly until?: Date }) {
    const { events } = await listEvents(platform.control, { ...filter, ...times });
    return events.map(({ at }) => at);
  }
  if (first === undefined || second === undefined || third === undefined)
    throw new Error("bug: no events");
  expect(await found({ since: second })).toEqual([third, second]);
  expect(await found({ until: second })).toEqual([first]);
  expect(await found({ since: second, until: second })).toEqual([]);
  const exchanged = await faultOf(found({ since: third, until: first }));
  expect([exchanged.code, exchanged.message]).toEqual([
    "INVALID_ARGUMENT",
    expect.stringMatching(/Exchange the two/),
  ]);
  const page = await listEvents(platform.control, { ...filter, since: second, pageSize: 1 });
  const rest = { ...filter, pageSize: 1, pageToken: page.nextPageToken };
  expect((await listEvents(platform.control, { ...rest, since: second })).events).toHaveLength(1);
  await expect(listEvents(platform.control, rest)).rejects.toThrow();
});

test.for(["subject", "kind", "actor"])("a %s that no event can have is refused", async (name) => {
  const nul = await faultOf(listEvents(platform.control, { [name]: "a\u0000" }));
  expect([nul.code, nul.message]).toEqual([
    "INVALID_ARGUMENT",
    `The ${name} must not contain control characters.`,
  ]);
});

test("a number that JavaScript would round keeps its digits", async () => {
  const change = { before: `{"most": 1152921504606846975, "few": 7}`, after: `{"share": 0.25}` };
  await platform.control.database.query(sql`
    insert into events (actor, kind, subject, before, after)
    values ('system', 'test.count', 'x', ${change.before}::jsonb, ${change.after}::jsonb)`);
  const { events } = await listEvents(platform.control, { kind: "test.count" });
  expect(events).toMatchObject([
    { before: { most: "1152921504606846975", few: 7 }, after: { share: 0.25 } },
  ]);
});
