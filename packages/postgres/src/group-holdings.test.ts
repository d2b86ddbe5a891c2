import { expect, test } from "vitest";
import { dropGroupHoldings } from "./group-holdings.ts";
import { proveIsolation } from "./isolation/isolation-proof.ts";
import { holds } from "./isolation/rule.ts";
import { outcomeOf, walledServer } from "./throwaway-tenant.ts";

const MADE = [
  "select lo_from_bytea(0, 'abc') from generate_series(1, 3)",
  "explain analyze create temporary table passing as select 1 as i",
];

test("what is made as the group of writers is dropped, and quarantines nobody", async () => {
  const scope = { shared: true, forced: false };
  const walled = await walledServer(scope);
  const [maker, neighbour] = [await walled.newTenant(), await walled.newTenant()];
  const asked = [maker, neighbour].map(({ tenantId }) => ({ tenantId, connectionLimit: 10 }));
  const client = await maker.connect();
  const became = await outcomeOf(client, "set role aerodb_writers");
  expect(became === "done").toBe(walled.server.settings.engine.major < 16);
  for (const made of MADE) await client.query(made);
  const proofs = await proveIsolation(walled.root, scope, asked);
  expect(proofs.flatMap(({ rules }) => rules.filter((rule) => !holds(rule)))).toEqual([]);

  await dropGroupHoldings(walled.root);
  const { rows } = await walled.root.query(
    `select from pg_shdepend where refobjid = 'aerodb_writers'::regrole and deptype = 'o'`,
  );
  expect(rows).toHaveLength(0);
  const kept = await outcomeOf(client, "reset role; insert into passing values (2)");
  expect(kept === "done").toBe(became !== "done");
  await client.end();
  await walled.remove();
});
