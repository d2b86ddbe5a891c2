import { CAPABILITIES } from "@aerodb/model";
import { expect, test } from "vitest";
import { capabilitiesOf, type Grounds } from "./capabilities.ts";

const BARE: Grounds = {
  driver: "process",
  reflink: false,
  hardLimits: [],
  controllers: [],
  sandbox: "none",
  nftables: false,
  ownUsers: false,
  containerLimits: undefined,
};

test("a machine on which nothing works can do nothing in particular", () => {
  expect(capabilitiesOf(BARE)).toEqual([]);
});

test("a machine on which everything works can do everything", () => {
  const all = capabilitiesOf({
    ...BARE,
    ...{ reflink: true, hardLimits: ["loop"], controllers: ["cpu", "memory", "pids", "io"] },
    ...{ sandbox: "unshare", nftables: true, ownUsers: true, containerLimits: [] },
  });
  expect(all).toEqual(CAPABILITIES);
});

test("processes are held by control groups, and containers by what Docker can hold them to", () => {
  const controllers = ["cpu", "memory"];
  const containerLimits = ["memory_limit", "pids_limit"];
  const both = { ...BARE, controllers, containerLimits };
  expect(capabilitiesOf(both)).toEqual(["cpu_limit", "memory_limit", "containers"]);
  expect(capabilitiesOf({ ...both, driver: "container", sandbox: "container" })).toEqual([
    ...["memory_limit", "pids_limit", "sandbox", "network_wall", "containers"],
  ]);
});

test("a container host whose Docker does not answer walls nothing off", () => {
  expect(capabilitiesOf({ ...BARE, driver: "container", sandbox: "container" })).toEqual([]);
});
