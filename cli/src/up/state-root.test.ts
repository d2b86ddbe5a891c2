import { expect, test } from "vitest";
import { decideStateRoot, hashOf } from "./state-root.ts";

const home = "/srv/platform";
const free = { home, otherUsers: true, existing: undefined, blockedBy: undefined };

test("the state is in the home where everybody may pass", () => {
  expect(decideStateRoot(free)).toEqual({ kind: "in_home", path: "/srv/platform/state" });
});

test("the state is in the home when servers run as who starts them", () => {
  const facts = { ...free, otherUsers: false, blockedBy: "/srv" };
  expect(decideStateRoot(facts).kind).toBe("in_home");
});

test("under a private directory the state goes to /var/lib", () => {
  expect(decideStateRoot({ ...free, blockedBy: "/srv" })).toEqual({
    kind: "elsewhere",
    path: `/var/lib/aerodb-${hashOf(home)}`,
    because: "/srv is closed to the users that Postgres runs as",
  });
});

test("state that was put elsewhere stays there when the way is free again", () => {
  const facts = { ...free, existing: { link: "/var/lib/aerodb-1" } };
  expect(decideStateRoot(facts)).toMatchObject({ kind: "elsewhere", path: "/var/lib/aerodb-1" });
});

test("state in a home that was closed later is not left behind: it is refused", () => {
  const facts = { ...free, existing: "directory", blockedBy: "/srv" } as const;
  expect(decideStateRoot(facts)).toEqual({ kind: "unreachable", blockedBy: "/srv" });
});
