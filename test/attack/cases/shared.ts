/** Attacks on the rows of a neighbour in a table that all tenants of an instance share. */
import { family, type Scene } from "../attack-case.ts";
import { codeOf } from "../attempt.ts";

const FOREIGN = "select from shared.notes where tenant_id <> '{self}'";
const FORGED = "set app.tenant_id = '{neighbour}'";
/** Who may not see a row is told nothing of it, and who may not write one is refused. */
const UNSEEN = ["none"];
const NOT_NULL = "23502";

const WAYS = ["indexscan", "indexonlyscan", "bitmapscan", "seqscan"];

/**
 * Whether plans, as they are carried out, tell that somebody has a row of a kind: by how often the
 * policy was asked, or by what an index found. Each way to read is kept from alone, and all others.
 */
function plansTell(
  condition: string,
  change = "id = -id, title = 'another'",
): (scene: Scene) => Promise<string> {
  return async ({ client, theirs }) => {
    const explain = `explain (analyze, costs off, timing off, summary off, buffers off,
      format json) select from shared.notes where ${condition}`;
    const seen = async (): Promise<string> => {
      const plans: unknown[] = [];
      for (const way of WAYS) {
        const others = WAYS.filter((each) => each !== way);
        await client.query(others.map((each) => `set enable_${each} = off`).join(";"));
        plans.push((await client.query(explain)).rows);
        await client.query(WAYS.map((each) => `reset enable_${each}`).join(";"));
      }
      return JSON.stringify(plans).replaceAll(/"Rows Removed by Filter": \d+,?/g, "");
    };
    const before = await seen();
    await theirs.query(`update shared.notes set ${change}`);
    try {
      return (await seen()) === before ? "none" : "some";
    } finally {
      await theirs.query("update shared.notes set id = abs(id), title = 'the-victims-secret'");
    }
  };
}

export const SHARED = family(
  "shared",
  {},
  {
    read: { attack: FOREIGN, safe: UNSEEN },
    read_forged: { attack: `${FORGED}; select from shared.notes`, safe: UNSEEN },
    read_untagged: { attack: "set app.tenant_id = ''; select from shared.notes", safe: UNSEEN },
    read_row_security_off: `set row_security = off; ${FOREIGN}`,
    read_cursor: { attack: `declare c cursor for ${FOREIGN}; fetch all c`, safe: UNSEEN },
    read_view: {
      attack: "create view w as table shared.notes; select from w where tenant_id <> '{self}'",
      safe: UNSEEN,
    },
    read_function: {
      attack: `create function all_notes() returns setof text language sql
        as 'select title from shared.notes'; select from all_notes() title where title <> 'own'`,
      safe: UNSEEN,
    },
    read_division: {
      attack: "select from shared.notes where 1 / (id - 5) = 1",
      safe: UNSEEN,
    },
    copy_out: { attack: `copy (${FOREIGN}) to stdout`, safe: UNSEEN },
    plan_by_range: {
      attack: plansTell("title > 'the-victims-s' and title < 'the-victims-t'"),
      safe: UNSEEN,
    },
    plan_by_equality: { attack: plansTell("title = 'the-victims-secret'"), safe: UNSEEN },
    plan_by_list: { attack: plansTell("title = any (array['the-victims-secret'])"), safe: UNSEEN },
    plan_by_number: { attack: plansTell("id > 4 and id < 6"), safe: UNSEEN },
    lock_rows: { attack: `${FOREIGN} for update`, safe: UNSEEN },
    insert: "insert into shared.notes values ('{neighbour}', 9, 'planted')",
    insert_forged: {
      attack: `${FORGED}; insert into shared.notes (id, title) values (9, 'planted')`,
      // Nobody asks then, and nobody's row is no row.
      safe: ["42501", NOT_NULL],
    },
    insert_both_forged: `${FORGED}; insert into shared.notes values ('{neighbour}', 9, 'planted')`,
    give_away: "update shared.notes set tenant_id = '{neighbour}'",
    update: {
      attack: "update shared.notes set title = 'x' where tenant_id = '{neighbour}'",
      safe: UNSEEN,
    },
    delete: { attack: "delete from shared.notes where tenant_id = '{neighbour}'", safe: UNSEEN },
    merge: {
      attack: `merge into shared.notes n using (values ('{neighbour}')) s (t) on n.tenant_id = s.t
        when matched then delete`,
      safe: UNSEEN,
    },
    merge_insert: `merge into shared.notes n using (values ('{neighbour}')) s (t) on false
      when not matched then insert values (s.t, 9, 'planted')`,
    upsert: `insert into shared.notes values ('{neighbour}', 5, 'planted')
      on conflict (tenant_id, id) do update set title = 'planted'`,
    // What is unique among all would tell by its refusal that a neighbour has it.
    probe_unique: {
      attack: "insert into shared.notes (id, title) values (5, 'the-victims-secret')",
      safe: ["some"],
    },
    copy_in: { attack: "copy shared.notes from stdin", safe: ["0A000"] },
    truncate: "truncate shared.notes",
    foreign_key: `create table r (tenant_id text, id int,
      foreign key (tenant_id, id) references shared.notes (tenant_id, id))`,
    trigger: `create function seen() returns trigger language plpgsql as 'begin return new; end';
      create trigger t after insert on shared.notes execute function seen()`,
    rule: "create rule r as on insert to shared.notes do instead nothing",
    policy: "create policy p on shared.notes using (true)",
    disable: "alter table shared.notes disable row level security",
    no_force: "alter table shared.notes no force row level security",
    own: "alter table shared.notes owner to {self}",
    grant: "grant truncate on shared.notes to {self}; truncate shared.notes",
    index: "create index on shared.notes (title)",
    statistics: "create statistics s2 on id, title from shared.notes",
    comment: "comment on table shared.notes is 'mine'",
    inherit: "create table heir () inherits (shared.notes)",
    partition: `create table whole2 (like shared.notes) partition by list (tenant_id);
      alter table whole2 attach partition shared.notes default`,
    materialized_view: {
      attack: `create materialized view w as table shared.notes;
        select from w where tenant_id <> '{self}'`,
      safe: ["42501", "none"],
    },
    make_table: "create table shared.mine (tenant_id text)",
    drop_table: "drop table shared.notes",
    drop_schema: "drop schema shared cascade",
    become_owner: "set role aerodb_shared",
    changes: "select from aerodb.shared_table_changes",
    kept_values: {
      attack: "select from pg_stats where schemaname = 'shared'",
      safe: UNSEEN,
    },
  },
);

const OF_SHARED = "Of tables that the operator";

/** How many rows a plan expects of a tenant in a shared table. */
async function expected({ client }: Scene, tenant: string): Promise<number> {
  const { rows } = await client.query(
    `explain (format json) select from shared.notes where tenant_id = '${tenant}'`,
  );
  return rows[0]["QUERY PLAN"][0].Plan["Plan Rows"];
}

async function estimates(scene: Scene): Promise<string> {
  const { theirs, victim, walled } = scene;
  await theirs.query("insert into shared.notes (id) select generate_series(1000, 6000)");
  try {
    await walled.root.query("analyze shared.notes");
    const many = await expected(scene, victim.tenantId);
    return many > (await expected(scene, "nobody")) ? "some" : "none";
  } finally {
    await theirs.query("delete from shared.notes where id >= 1000");
  }
}

async function countsAlong({ client, theirs }: Scene): Promise<string> {
  const draw = "select nextval('shared.notes_number_seq')::int as n";
  const before = (await client.query(draw)).rows[0].n;
  await theirs.query(`${draw} from generate_series(1, 7)`);
  return (await client.query(draw)).rows[0].n === before + 8 ? "some" : "none";
}

async function holdsUp({ client, theirs }: Scene): Promise<string> {
  await client.query("begin; lock table shared.notes in access exclusive mode");
  try {
    await theirs.query("set lock_timeout = '100ms'; select from shared.notes");
    return "none";
  } catch (error) {
    return codeOf(error) === "55P03" ? "some" : codeOf(error);
  } finally {
    await client.query("rollback");
    await theirs.query("reset lock_timeout");
  }
}

/** What is not hidden of such tables, as in `shown.ts`. */
export const SHOWN_OF_SHARED = family(
  "shown",
  { safe: ["some"], documented: OF_SHARED },
  {
    shared_nulls: plansTell("title is null", "title = null"),
    shared_row_estimates: estimates,
    shared_sequences: countsAlong,
    shared_locks: holdsUp,
  },
);
