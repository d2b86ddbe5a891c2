import { encodeMessage } from "@aerodb/postgres";
import { expect, test } from "vitest";
import { deallocatedIn } from "./client-messages.ts";
import { effectsOf } from "./effects.ts";

test.each([
  ["deallocate s1", "s1"],
  ["DEALLOCATE PREPARE S1 ;", "s1"],
  ["/* c */ deallocate s1", "s1"],
  ["-- c\n deallocate s1", "s1"],
  ['/* a /* nested */ one */deallocate/**/"S -- 1" -- that is all', "S -- 1"],
  ['deallocate "a""b /* c */"', 'a"b /* c */'],
  ["deallocate all", undefined],
  ["-- deallocate s1", undefined],
  ["select 1; deallocate s1", undefined],
  ["deallocate s1 /* without an end", undefined],
])("in %j what is deallocated is %j", (sql, name) => {
  expect(deallocatedIn(Buffer.from(`${sql}\0`), 0)).toBe(name);
});

test.each([
  [
    "update pg_settings set setting = '1' where name = 'work_mem'",
    { leaves: true, unsettles: true },
  ],
  ["select * from pg_settings", { leaves: false }],
  [
    "select u&\"set\\005fconfig\"('a.b', 'c', false)",
    { leaves: true, unsettles: true, hides: true },
  ],
  ["do $$ begin end $$", { leaves: true, hides: true }],
  ["select set_config('app.user', $1, true)", { leaves: true, unsettles: false, hides: false }],
  ["select set_config($1, $2, true)", { leaves: true, unsettles: true, hides: false }],
  ["SET TIME ZONE 'UTC'", { leaves: false, unsettles: true, hides: false }],
  ["select 1", { leaves: false, unsettles: false, hides: false }],
])("%j may do %j", (sql, effects) => {
  const { length } = encodeMessage("Q", Buffer.from(sql));
  expect(effectsOf(Buffer.from(sql))).toMatchObject(effects);
  expect(effectsOf(Buffer.from(sql), length)).toMatchObject({ leaves: true, unsettles: true });
});
