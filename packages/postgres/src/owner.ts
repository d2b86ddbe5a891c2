/** The operating-system user that owns an instance's files and runs its server. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Whether this process may give files and processes to another user. */
export function canChangeOwner(): boolean {
  return process.geteuid?.() === 0;
}
