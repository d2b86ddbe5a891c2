/** SCRAM against a real server: with the key that a client proved, one logs in as it did. */
import { once } from "node:events";
import { connect } from "node:net";
import type { TenantId } from "@aerodb/model";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectPlatform } from "./connection.ts";
import { MessageReader, type WireMessage } from "./message-reader.ts";
import { DATABASE, socketPath } from "./names.ts";
import { generatePassword, parseScramVerifier, scramVerifier } from "./scram.ts";
import { SCRAM_MECHANISM, ScramLogin } from "./scram-exchange.ts";
import { clientKeyOf } from "./scram-sample.ts";
import { encodeStartupMessage } from "./startup-packet.ts";
import { ensureTenant } from "./tenant-role.ts";
import { ROOT_PASSWORD, type ThrowawayServer, throwawayServer } from "./throwaway-instance.ts";
import { decodeReport, encodeMessage, encodeSaslInitialResponse } from "./wire-message.ts";

const tenantId = `ten_${"0".repeat(26)}` as TenantId;
const password = generatePassword();
let server: ThrowawayServer;
let text = "";

beforeAll(async () => {
  server = await throwawayServer();
  const platform = await connectPlatform({ ...server.settings, password: ROOT_PASSWORD });
  text = await scramVerifier(password);
  await ensureTenant(platform, {
    ...{ tenantId, verifier: text, connectionLimit: 2, dedicated: false },
  });
  await platform.end();
});
afterAll(() => server.remove());

/** How a login with a key ends: `R` for one that succeeds, else its SQLSTATE. */
async function loginWith(key: Buffer): Promise<string> {
  const verifier = parseScramVerifier(text);
  if (verifier === undefined) throw new Error("no verifier");
  const login = new ScramLogin({ clientKey: key, verifier });
  const socket = connect(socketPath(server.settings.socketDirectory));
  const reader = new MessageReader();
  socket.on("data", (chunk: Buffer) => reader.push(chunk));
  const next = async (bytes?: Buffer): Promise<WireMessage> => {
    if (bytes !== undefined) socket.write(bytes);
    for (;;) {
      const message = reader.next();
      if (message !== undefined) return message;
      await once(socket, "data");
    }
  };
  try {
    const parameters = Object.entries({ user: tenantId, database: DATABASE });
    await next(encodeStartupMessage({ minor: 0, parameters }));
    const first = await next(encodeSaslInitialResponse(SCRAM_MECHANISM, login.clientFirst));
    const answer = login.answer(first.payload.subarray(4)) ?? Buffer.alloc(0);
    const last = await next(encodeMessage("p", answer));
    if (last.type !== "R") return decodeReport(last.payload).get("C") ?? "";
    expect(login.trusts(last.payload.subarray(4))).toBe(true);
    return (await next()).type;
  } finally {
    socket.destroy();
  }
}

test("the key that a password makes opens a server that has its verifier, and no other", async () => {
  expect(await loginWith(clientKeyOf(password, text))).toBe("R");
  expect(await loginWith(clientKeyOf("another", text))).toBe("28P01");
});
