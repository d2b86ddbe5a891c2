import { type Db, sql } from "@aerodb/db";
import type { RegionName } from "@aerodb/model";

export interface Region {
  readonly name: RegionName;
  readonly hosts: number;
  readonly connectedHosts: number;
}

/** Every region, by name. */
export async function listRegions(db: Db): Promise<Region[]> {
  return db.query<Region>(sql`
    select r.name, count(h.id)::integer as hosts,
           (count(*) filter (where h.session_token is not null
              and h.last_seen_at > now() - interval '45 seconds'))::integer as "connectedHosts"
      from regions r left join hosts h on h.region = r.name and h.removed_at is null
     group by r.name order by r.name`);
}
