import { sql } from "@aerodb/db";
import type { CatalogueServer } from "@aerodb/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import {
  faultOf,
  openPlatform,
  type PlatformFixture,
  startCatalogue,
  tester,
} from "./fake-platform.ts";
import { createJoinToken, join } from "./joining.ts";
import { createKey, ensureBootstrapKey, findKey, listKeys, revokeKey } from "./keys.ts";

let server: CatalogueServer;
let platform: PlatformFixture;
beforeAll(async () => {
  server = await startCatalogue();
});
afterAll(() => server.close());
beforeEach(async () => {
  platform = await openPlatform(server);
});
afterEach(() => platform.close());

const hostToken = { kind: "host", region: "us-east-1", ttlSeconds: 0 };
const publicKeySha256 = Buffer.alloc(32, 1);

test("a join token is traded once, and again only by the same key", async () => {
  const token = await createJoinToken(platform.control, tester, hostToken);
  const ask = { tokenId: token.id, secret: token.secret, publicKeySha256, name: "h1" };
  const [joined, ...repeats] = await Promise.all(
    Array.from({ length: 5 }, () => join(platform.control, ask)),
  );
  expect(joined).toMatchObject({ kind: "host", id: expect.stringMatching(/^hst_/) });
  expect(new Set(repeats.map(({ id }) => id))).toEqual(new Set([joined?.id]));
  for (const wrong of [
    { ...ask, publicKeySha256: Buffer.alloc(32, 2) },
    { ...ask, secret: "x" },
    { ...ask, tokenId: "\0" },
  ]) {
    expect((await faultOf(join(platform.control, wrong))).code).toBe("PERMISSION_DENIED");
  }
});

test("an expired token joins nobody new, but repeats its answer to who joined", async () => {
  const tokens = await Promise.all(
    [1, 2].map(() => createJoinToken(platform.control, tester, hostToken)),
  );
  const [used, unused] = tokens.map(({ id, secret }) => {
    return { tokenId: id, secret, publicKeySha256, name: "h1" };
  });
  if (used === undefined || unused === undefined) throw new Error("two tokens were made");
  const joined = await join(platform.control, used);
  await platform.catalogue.database.query(sql`update join_tokens set expires_at = now()`);
  expect(await join(platform.control, used)).toEqual(joined);
  expect((await faultOf(join(platform.control, unused))).code).toBe("PERMISSION_DENIED");
});

test("hosts of one name are kept apart by the ends of their names", async () => {
  const ids = [await platform.addHost("same"), await platform.addHost("same")];
  const rows = await platform.catalogue.database.query<{ name: string }>(sql`
    select name from hosts order by id`);
  expect(rows.map(({ name }) => name)).toEqual(["same", `same-${ids[1]?.slice(-6)}`]);
});

test("a join token for something else, nowhere or too long is refused", async () => {
  for (const over of [{ kind: "tenant" }, { region: "" }, { ttlSeconds: 90_000 }]) {
    const make = createJoinToken(platform.control, tester, { ...hostToken, ...over });
    expect((await faultOf(make)).code).toBe("INVALID_ARGUMENT");
  }
});

test("a key is found by its secret until it is revoked, and only its hash is kept", async () => {
  const ask = { name: "ci", scopes: ["platform:read"] };
  const { key, secret } = await createKey(platform.control, tester, ask);
  expect(secret).toMatch(/^adb_key_[0-9a-z]{26}_[\w-]{43}$/);
  expect(await findKey(platform.control, secret)).toEqual(key);
  expect(await findKey(platform.control, `${secret}x`)).toBeUndefined();
  const [dump] = await platform.catalogue.database.query<{ text: string }>(sql`
    select string_agg(to_json(k)::text, '') || (select string_agg(to_json(e)::text, '')
      from events e) as text from keys k`);
  expect(dump?.text).not.toContain(secret.slice(-43));
  await revokeKey(platform.control, tester, key.id);
  expect(await findKey(platform.control, secret)).toBeUndefined();
  const again = await faultOf(revokeKey(platform.control, tester, key.id));
  expect(again.code).toBe("KEY_NOT_FOUND");
  const wrong = createKey(platform.control, tester, { name: "x", scopes: ["root"] });
  expect((await faultOf(wrong)).code).toBe("INVALID_ARGUMENT");
});

test("a changed platform key takes the place of the one before", async () => {
  await ensureBootstrapKey(platform.control, "first platform key");
  await Promise.all([1, 2].map(() => ensureBootstrapKey(platform.control, "second one")));
  expect(await findKey(platform.control, "first platform key")).toBeUndefined();
  expect(await findKey(platform.control, "second one")).toMatchObject({
    scopes: ["platform:admin"],
  });
  expect(await listKeys(platform.control)).toHaveLength(1);
});

test("events can be added and neither changed nor removed", async () => {
  await ensureBootstrapKey(platform.control, "some platform key");
  await createKey(platform.control, tester, { name: "ci", scopes: ["platform:read"] });
  const { database } = platform.catalogue;
  await expect(database.query(sql`delete from events`)).rejects.toThrow("append-only");
  await expect(database.query(sql`update events set actor = 'x'`)).rejects.toThrow("append-only");
  await expect(database.query(sql`truncate usage_events`)).rejects.toThrow("append-only");
});
