/** What the platform measures, which is what is billed: forged, hidden or stopped. */
import { connectMeter, meterPassword } from "@aerodb/postgres";
import { askActivity } from "../../../packages/postgres/src/metering.ts";
import { ROOT_PASSWORD } from "../../../packages/postgres/src/throwaway-instance.ts";
import { BOTH, DENIED, family, type Scene } from "../attack-case.ts";

/** How many sessions of the attacker the meter counts while it does something. */
async function sessionsCounted(scene: Scene, doing: string): Promise<string> {
  const session = await scene.attacker.connect();
  const { settings } = scene.walled.server;
  try {
    await session.query(doing);
    const meter = await connectMeter({ ...settings, password: meterPassword(ROOT_PASSWORD) });
    const { tenants } = await askActivity(meter, scene.major).finally(() => meter.end());
    const counted = tenants.get(scene.attacker.tenantId)?.["connections"] ?? 0;
    return counted >= 2 ? "some" : "none";
  } finally {
    await session.end();
  }
}

const counted = (doing: string) => ({
  attack: (scene: Scene) => sessionsCounted(scene, doing),
  safe: ["some"],
});

export const METERING = family(
  "metering",
  { models: BOTH },
  {
    another_name: counted("set application_name = 'aerodb_root'"),
    another_role: counted("set role none"),
    locked_catalogue: counted("begin; lock table t in access exclusive mode"),
    long_transaction: counted("begin isolation level serializable; select * from t"),
    shadowed_views: counted(
      `create temporary view pg_stat_activity as select 1 as pid where false;
       create temporary view pg_stat_database as select 1 as datname where false;
       set search_path = pg_temp, pg_catalog`,
    ),
    reset_all: "select pg_stat_reset()",
    reset_shared: "select pg_stat_reset_shared('io')",
    reset_function: "select pg_stat_reset_single_function_counters(1)",
    reset_slot: "select pg_stat_reset_slru(null)",
    reset_slots: "select pg_stat_reset_replication_slot(null)",
    reset_backend: { attack: "select pg_stat_reset_backend_stats(pg_backend_pid())", since: 18 },
    reset_subscription: "select pg_stat_reset_subscription_stats(null)",
    count_off: "set track_counts = off",
    count_off_of_role: "alter role {self} set track_counts = off",
    functions_on: "set track_functions = 'all'",
    timing_on: "set track_io_timing = on",
    forge_statistics: {
      attack: `select pg_restore_relation_stats('schemaname', '{neighbour}', 'relname', 't',
        'relpages', 1)`,
      models: ["schema"],
      since: 18,
    },
    clear_statistics: {
      attack: "select pg_clear_relation_stats('{neighbour}', 't')",
      models: ["schema"],
      since: 18,
    },
    locale: {
      attack: "set lc_messages = 'C'",
      safe: [DENIED],
    },
  },
);
