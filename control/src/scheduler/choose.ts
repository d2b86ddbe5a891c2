import type { HostId } from "@aerodb/model";
import type { Ask, HostView, SharedInstanceView } from "./ask.ts";
import { newestEngineMajor, type Refusal, refusalOf, refusalToShare } from "./feasible.ts";
import {
  compareHostScores,
  compareSharedInstanceScores,
  scoreHost,
  scoreSharedInstance,
} from "./score.ts";

export interface RefusedHost {
  readonly hostId: HostId;
  readonly name: string;
  readonly refusal: Refusal;
}

export type HostChoice =
  | {
      readonly kind: "chosen";
      readonly host: HostView;
      readonly engineMajor: number;
      /** Why this one, in a sentence that stays with the placement. */
      readonly reason: string;
    }
  | {
      readonly kind: "refused";
      /** For example `3 hosts: 2 full (memory), 1 not connected`. */
      readonly summary: string;
      readonly hosts: readonly RefusedHost[];
    };

/** The host that suits an ask best, or why each cannot take it. */
export function chooseHost(hosts: readonly HostView[], ask: Ask): HostChoice {
  const refused: RefusedHost[] = [];
  const feasible: HostView[] = [];
  for (const host of hosts) {
    const refusal = refusalOf(host, ask);
    if (refusal === undefined) feasible.push(host);
    else refused.push({ hostId: host.id, name: host.name, refusal });
  }
  const newestMajor = Math.max(0, ...feasible.map((host) => newestEngineMajor(host) ?? 0));
  const scored = feasible
    .map((host) => ({ host, score: scoreHost(host, ask, newestMajor) }))
    .sort((a, b) => compareHostScores(a.score, b.score));
  const [best] = scored;
  if (best === undefined) return { kind: "refused", summary: summarise(refused), hosts: refused };
  const { fill, fillStep } = best.score;
  const equipped = scored.some(({ score }) => score.fillStep === fillStep && score.fill < fill);
  const why = equipped ? "Best equipped of the least filled" : "Least filled";
  const among = `${feasible.length} feasible among ${count(hosts.length)}`;
  return {
    kind: "chosen",
    host: best.host,
    engineMajor: newestEngineMajor(best.host) ?? newestMajor,
    reason: `${why} of ${among}: ${Math.round(fill * 100)} % of it would be promised.`,
  };
}

/**
 * The shared instance that takes one more tenant; undefined when none has room on a host that can
 * be reached and does what the plan requires.
 */
export function chooseSharedInstance(
  instances: readonly SharedInstanceView[],
  hosts: readonly HostView[],
  requiredCapabilities: readonly string[] = [],
): SharedInstanceView | undefined {
  const suitable = new Set<string>();
  for (const host of hosts) {
    if (refusalToShare(host, requiredCapabilities) === undefined) suitable.add(host.id);
  }
  const [best] = instances
    .filter((each) => suitable.has(each.hostId) && each.tenantCount < each.maxTenants)
    .map((instance) => ({ instance, score: scoreSharedInstance(instance) }))
    .sort((a, b) => compareSharedInstanceScores(a.score, b.score));
  return best?.instance;
}

function summarise(refused: readonly RefusedHost[]): string {
  if (refused.length === 0) return "There is no host in the region";
  const byReason = Map.groupBy(refused, ({ refusal }) => refusal.short);
  const parts = [...byReason]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([short, hosts]) => `${hosts.length} ${short}`);
  return `${count(refused.length)}: ${parts.join(", ")}`;
}

function count(hosts: number): string {
  return hosts === 1 ? "1 host" : `${hosts} hosts`;
}
