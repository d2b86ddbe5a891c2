/** `aerodb keys …` */
import { type Key, KeySchema } from "@aerodb/rpc/aerodb/control/v1/key_service_pb.js";
import type { Command } from "commander";
import { type Column, timeText } from "../output.ts";
import { showProgress } from "../progress.ts";
import { openSession } from "../session.ts";

const LIST: readonly Column<Key>[] = [
  { title: "key id", of: ({ keyId }) => keyId },
  { title: "name", of: ({ name }) => name },
  { title: "scopes", of: ({ scopes }) => scopes.join(" ") },
  { title: "created", of: ({ createdAt }) => timeText(createdAt) },
];

const CREATED: readonly Column<Key>[] = [
  ...LIST,
  { title: "secret", of: ({ secret }) => `${secret}  (shown this once)` },
];

export function addKeys(program: Command): void {
  const keys = program.command("keys").description("keys of the API and what they may do");
  keys
    .command("create <name>")
    .description("make a key and show its secret, this once")
    .requiredOption(
      "--scope <scope...>",
      "platform:admin, platform:read, billing:read or tenant:<tenant id>",
    )
    .addHelpText("after", "\nExample:\n  aerodb keys create dashboard --scope platform:read")
    .action(async (name: string, flags: { readonly scope: string[] }, command: Command) => {
      const { api, output } = openSession(command);
      const asked = api.keys.createKey({ name, scopes: flags.scope });
      const answer = await showProgress("making a key", asked);
      if (answer.key !== undefined) output.one(KeySchema, answer.key, CREATED);
    });
  keys
    .command("list")
    .description("list keys that are in force")
    .action(async (_flags: object, command: Command) => {
      const { api, output } = openSession(command);
      const answer = await showProgress("listing keys", api.keys.listKeys({}));
      output.list(KeySchema, answer.keys, LIST);
    });
  keys
    .command("revoke <key>")
    .description("take a key out of force, within a second")
    .action(async (keyId: string, _flags: object, command: Command) => {
      const { api, output } = openSession(command);
      await showProgress("revoking the key", api.keys.revokeKey({ keyId }));
      if (output.format === "table") output.text(`${keyId} is revoked.`);
      else output.json({ key_id: keyId, revoked: true });
    });
}
