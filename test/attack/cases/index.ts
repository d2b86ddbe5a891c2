/** Every attack, by family. */
import type { AttackCase } from "../attack-case.ts";
import type { PlatformCase } from "../platform-case.ts";
import { CALLS } from "./calls.ts";
import { DIRECTORY } from "./directory.ts";
import { DOORS } from "./doors.ts";
import { HOGS } from "./hogs.ts";
import { HOSTS } from "./hosts.ts";
import { IDENTITY, POLICIES } from "./identity.ts";
import { LIMITS } from "./limits.ts";
import { METERING } from "./metering.ts";
import { POOLED } from "./pooled.ts";
import { NEIGHBOURS, ROLES } from "./roles.ts";
import { OBJECTS, ROWS } from "./rows.ts";
import { CODE, EXTENSIONS, FILES, SERVER } from "./server.ts";
import { SESSIONS } from "./sessions.ts";
import { SHARED, SHOWN_OF_SHARED } from "./shared.ts";
import { SHOWN } from "./shown.ts";
import { SUSPENDED } from "./suspended.ts";
import { GRANTS, WALLS } from "./walls.ts";
import { WRITES } from "./writes.ts";

export { HOGS };

export const INSTANCE_CASES: readonly AttackCase[] = [
  ...ROWS,
  ...OBJECTS,
  ...NEIGHBOURS,
  ...WALLS,
  ...GRANTS,
  ...IDENTITY,
  ...POLICIES,
  ...SHARED,
  ...ROLES,
  ...FILES,
  ...DIRECTORY,
  ...CODE,
  ...EXTENSIONS,
  ...SERVER,
  ...LIMITS,
  ...WRITES,
  ...METERING,
  ...SHOWN,
  ...SHOWN_OF_SHARED,
  ...POOLED,
  ...SESSIONS,
];

export const PLATFORM_CASES: readonly PlatformCase[] = [...DOORS, ...CALLS, ...HOSTS, ...SUSPENDED];
