import { newId } from "@aerodb/runtime";
import { expect, test } from "vitest";
import { sampleSpec } from "../../sample-spec.ts";
import { layoutOf, placeOf } from "../../storage/layout.ts";
import { containerLimits, containerSettings } from "./container-settings.ts";

const MIB = 2 ** 20;
const spec = sampleSpec({ id: newId("ins"), memoryMiB: 512, cpuMillis: 1_000, pidsLimit: 77 });
const place = placeOf(layoutOf("/srv/agent"), spec.id);
const settings = containerSettings({
  spec,
  place,
  owner: { uid: 70_001, gid: 70_001 },
  image: { id: "sha256:abc", version: "18.4" },
  launcher: "/srv/agent/containers/launcher-1",
  tablespaces: [`${place.space}/files`],
  agent: "0123456789ab",
});

test("a container sees its own directories at their own paths, and no more of the host", () => {
  const mounts = settings.HostConfig?.Mounts ?? [];
  const writable = mounts.filter(({ ReadOnly }) => ReadOnly !== true);
  expect(writable.map(({ Source }) => Source).toSorted()).toEqual(
    [place.data, place.socketDirectory, place.lock, place.log, `${place.space}/files`].toSorted(),
  );
  const moved = mounts.filter(({ Source, Target }) => Source !== Target);
  expect(moved.map(({ Target }) => Target)).toEqual(["/.aerodb/log", "/.aerodb/launcher"]);
});

test("a server is found by its labels and its name, and made of an image that cannot change", () => {
  expect(settings).toMatchObject({
    name: `aerodb-${spec.id}`,
    Image: "sha256:abc",
    User: "70001:70001",
    Labels: { "aerodb.agent": "0123456789ab", "aerodb.instance": spec.id },
  });
});

test("limits are those of any instance of this size; no swap comes on top", () => {
  expect(containerLimits(spec)).toEqual({
    CpuPeriod: 100_000,
    CpuQuota: 200_000,
    CpuShares: 1_024,
    Memory: 640 * MIB,
    MemorySwap: 640 * MIB,
    PidsLimit: 77,
  });
  expect(settings.Entrypoint).toContain(place.lock);
  expect(String(settings.Entrypoint)).toContain(`ulimit -S -d ${256 * 1_024}`);
});
