/**
 * A process that does one thing to an instance on disk, so that a test can kill it on the way.
 * Arguments: home, engines, password, the means that hold limits, what to do, failpoints, and the
 * specification as JSON.
 */
import { armFailpoints, silent } from "@aerodb/runtime";
import type { InstanceSpec } from "../instance-spec.ts";
import { sampleSpec } from "../sample-spec.ts";
import { EngineShelf } from "./engine-shelf.ts";
import { InstanceStore } from "./instance-store.ts";

const [
  home = "",
  engines = "",
  rootPassword = "",
  means = "",
  verb = "",
  failpoints = "",
  text = "{}",
] = process.argv.slice(2);
const spec = sampleSpec(JSON.parse(text) as Partial<InstanceSpec>);
const store = new InstanceStore({
  home,
  shelf: new EngineShelf({ directory: engines, search: {}, rootPassword }),
  uids: { base: 62_000_000, count: 100 },
  logger: silent,
  limitMeans: means === "btrfs" ? "btrfs" : "loop",
  isServed: async () => false,
});
await store.recover();
armFailpoints(failpoints);
if (verb === "make") await store.make(spec);
if (verb === "furnish") await store.furnish(spec);
if (verb === "resize") await store.resizeStorage(spec);
if (verb === "destroy") await store.destroy(spec.id);
