/** An event trigger of the platform, with its function, as data. */
export interface WallTrigger {
  readonly name: string;
  readonly event: "ddl_command_start" | "ddl_command_end" | "sql_drop" | "table_rewrite";
  readonly tags: readonly string[];
  readonly declarations: string;
  readonly body: string;
  /** Whether it stands in an instance of one tenant too. */
  readonly everywhere?: true;
}
