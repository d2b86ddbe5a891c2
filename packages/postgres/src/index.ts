export * from "./allowed-extensions.ts";
export * from "./before-start.ts";
export { flushFileSystem, removeDrafts } from "./built-directory.ts";
export * from "./configuration.ts";
export * from "./configuration-lines.ts";
export * from "./connection.ts";
export { readSystemIdentifier } from "./control-file.ts";
export * from "./data-directory.ts";
export * from "./engine.ts";
export { EXTENSIONS_SCHEMA } from "./extension-wall.ts";
export * from "./extensions.ts";
export * from "./group-holdings.ts";
export * from "./hba.ts";
export * from "./held-locks.ts";
export * from "./identifier.ts";
export * from "./instance-shape.ts";
export { connectInstance } from "./instance-socket.ts";
export * from "./isolation/index.ts";
export { askLargeObjects } from "./large-object-sizes.ts";
export * from "./largest-relations.ts";
export * from "./materialized-engine.ts";
export * from "./message-reader.ts";
export { ensureMeterRole, meterPassword, meterVerifier } from "./meter-login.ts";
export * from "./metering.ts";
export * from "./metering-sizes.ts";
export * from "./metering-statements.ts";
export * from "./names.ts";
export * from "./owner.ts";
export { poolLogin, poolPassword } from "./pool-login.ts";
export * from "./pooled-request.ts";
export {
  findPostmaster,
  type Postmaster,
  SESSIONS_LEAVE_MS,
  type StopMode,
} from "./postmaster.ts";
export { readPostmasterFile } from "./postmaster-file.ts";
export {
  BACKEND_OOM_SCORE,
  type Enclosure,
  type PostmasterSettings,
} from "./postmaster-launch.ts";
export * from "./postmaster-probe.ts";
export type { PostmasterTraces } from "./postmaster-search.ts";
export * from "./postmaster-start.ts";
export * from "./reload.ts";
export * from "./runaway-workers.ts";
export * from "./scram.ts";
export * from "./scram-exchange.ts";
export * from "./session-memory.ts";
export * from "./session-settings.ts";
export {
  applySharedTables,
  type ChangeRefusal,
  digestOf,
  type SharedTableChange,
  trySharedTables,
} from "./shared-tables.ts";
export { mendSharedTables } from "./shared-tables-keeping.ts";
export * from "./startup-packet.ts";
export * from "./tablespace.ts";
export * from "./template.ts";
export * from "./tenant-drift.ts";
export * from "./tenant-drop.ts";
export * from "./tenant-role.ts";
export * from "./tenant-settings.ts";
export * from "./tenant-suspend.ts";
export * from "./tenant-writes.ts";
export { ensureWalls, type WallOptions, type Walls } from "./walls.ts";
export * from "./wire-message.ts";
