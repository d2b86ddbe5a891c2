/**
 * Prints the catalogue as the migrations leave it, for review: `node
 * control/src/store/print-schema.ts`. Runs them in a throwaway server and reads what is there, in
 * the order of names.
 */
import { fileURLToPath } from "node:url";
import { type Db, sql } from "@aerodb/db";
import { startCatalogueServer } from "@aerodb/testkit";

const HEADER = `\
-- The catalogue as control/migrations/ leave it, for review. Made by \`npm run generate\`.
-- Never edited and never run: change the schema by a new migration.
`;

interface Part {
  readonly text: string;
}

async function printSchema(db: Db): Promise<string> {
  const functions = await db.query<Part>(sql`
    select pg_get_functiondef(p.oid) || ';' as text
      from pg_proc p
     where p.pronamespace = 'public'::regnamespace
     order by p.proname`);
  // A partition is like its whole, and which ones there are may depend on the day.
  const tables = await db.query<{ name: string }>(sql`
    select relname as name from pg_class
     where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
     order by relname`);
  const texts: string[] = [];
  for (const { name } of tables) texts.push(await describeTable(db, name));
  const views = await db.query<Part>(sql`
    select format(E'\ncreate view %I as\n%s', viewname, definition) as text
      from pg_views where schemaname = 'public' order by viewname`);
  texts.push(...views.map(({ text }) => text));
  const rows = await db.query<Part>(sql`
    select '--   ' || to_json(p)::text as text from plans p order by sort_order`);
  const plans = ["-- plans holds from the start:", ...rows.map(({ text }) => text)].join("\n");
  return `${[HEADER, ...functions.map(({ text }) => text), ...texts, plans].join("\n")}\n`;
}

async function describeTable(db: Db, name: string): Promise<string> {
  const columns = await db.query<Part>(sql`
    select format('  %I %s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                  case when a.attcollation <> t.typcollation
                       then format(' collate %I', c.collname) else '' end,
                  case when a.attidentity = 'a' then ' generated always as identity'
                       else coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') end,
                  case when a.attnotnull then ' not null' else '' end) as text
      from pg_attribute a
      join pg_type t on t.oid = a.atttypid
      left join pg_collation c on c.oid = a.attcollation
      left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
     where a.attrelid = ${name}::regclass and a.attnum > 0 and not a.attisdropped
     order by a.attnum`);
  // Each not null is with its column already.
  const constraints = await db.query<Part>(sql`
    select format('  constraint %I %s', conname, pg_get_constraintdef(oid)) as text
      from pg_constraint
     where conrelid = ${name}::regclass and contype <> 'n'
     order by array_position('{p,u,c,f}'::"char"[], contype), conname`);
  const others = await db.query<Part>(sql`
    select text from (
      select 1 as kind, x.relname as name, pg_get_indexdef(i.indexrelid) || ';' as text
        from pg_index i join pg_class x on x.oid = i.indexrelid
       where i.indrelid = ${name}::regclass
         and not exists (select from pg_constraint c where c.conindid = i.indexrelid)
      union all
      select 2, tgname, pg_get_triggerdef(oid) || ';'
        from pg_trigger where tgrelid = ${name}::regclass and not tgisinternal
    ) other order by kind, name`);
  const [about] = await db.query<{ text: string | null; partitions: string | null }>(sql`
    select obj_description(${name}::regclass, 'pg_class') as text,
           pg_get_partkeydef(${name}::regclass) as partitions`);
  const end = about?.partitions ? `) partition by ${about.partitions};` : ");";
  const lines = [...columns, ...constraints].map(({ text }) => text);
  return [
    "",
    ...(about?.text ? [`-- ${about.text}`] : []),
    `create table ${name} (\n${lines.join(",\n")}\n${end}`,
    ...others.map(({ text }) => text.replaceAll("public.", "")),
  ].join("\n");
}

const migrations = fileURLToPath(new URL("../../migrations", import.meta.url));
const server = await startCatalogueServer(migrations);
try {
  const catalogue = await server.fresh();
  process.stdout.write(await printSchema(catalogue.database));
  await catalogue.close();
} finally {
  await server.close();
}
