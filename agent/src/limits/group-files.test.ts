import { expect, test } from "vitest";
import { seenDirectoryOf } from "./group-files.ts";

function mounted(root: string) {
  return { root, point: "/sys/fs/cgroup/memory", type: "cgroup", options: ["memory"] };
}

test("a group is seen where the whole tree is, or the part that it is in", () => {
  const group = "/docker/one/inner";
  const whole = seenDirectoryOf(mounted("/"), group);
  expect(whole).toBe("/sys/fs/cgroup/memory/docker/one/inner");
  expect(seenDirectoryOf(mounted("/docker/one"), group)).toBe("/sys/fs/cgroup/memory/inner");
});

test("a neighbour's group is not taken for one's own where only that is seen", () => {
  for (const group of ["/docker/two", "/docker/one-more", "/../two", undefined]) {
    expect(seenDirectoryOf(mounted("/docker/one"), group)).toBeUndefined();
  }
  expect(seenDirectoryOf(mounted("/"), "/../two")).toBeUndefined();
  expect(seenDirectoryOf(undefined, "/docker/one")).toBeUndefined();
});
