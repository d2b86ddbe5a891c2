/** A client of the protocol for tests, which sees every byte the gateway answers. */
import { connect, type Socket } from "node:net";
import {
  type BackendKey,
  encodeCancelRequest,
  encodeMessage,
  encodeSaslInitialResponse,
  encodeStartupMessage,
  MessageReader,
  parseScramVerifier,
  SCRAM_MECHANISM,
  ScramLogin,
  type WireMessage,
} from "@aerodb/postgres";
import pg from "pg";
import { clientKeyOf } from "../../../packages/postgres/src/scram-sample.ts";
import type { ThrowawayTenant } from "../throwaway-platform.ts";
import { nextMessage } from "./peer.ts";

const NONCE = "rOprNGfwEbeRWgbNEkqO";

/** Everything a server says to a login with a wrong proof, with what is random masked. */
export async function failedLogin(
  port: number,
  login: { readonly user: string; readonly database: string },
): Promise<string[]> {
  const socket = connectRaw(port);
  const peer = { stream: socket, reader: new MessageReader() };
  const signal = AbortSignal.timeout(15_000);
  socket.write(encodeStartupMessage({ minor: 0, parameters: Object.entries(login) }));
  const said: string[] = [];
  for (;;) {
    const message = await nextMessage(peer, signal);
    if (message === undefined) break;
    const text = message.bytes.toString("latin1");
    said.push(text.replace(/r=.*,s=.{24},/, (part) => "#".repeat(part.length)));
    if (message.type !== "R") continue;
    const code = message.payload.readInt32BE(0);
    const first = Buffer.from(`n,,n=,r=${NONCE}`);
    if (code === 10) socket.write(encodeSaslInitialResponse(SCRAM_MECHANISM, first));
    if (code === 11) socket.write(wrongFinal(message.payload.toString("latin1", 4)));
  }
  socket.destroy();
  return said;
}

/** What a client of node-postgres needs to log in to a tenant. */
export function settingsOf(
  port: number,
  { tenantId: user, name: database, password }: ThrowawayTenant,
  over: pg.ClientConfig = {},
): pg.ClientConfig {
  return { host: "127.0.0.1", port, user, database, password, ...over };
}

/** Such a client, which has logged in. */
export async function connectTo(
  port: number,
  tenant: ThrowawayTenant,
  over: pg.ClientConfig = {},
): Promise<pg.Client> {
  const client = new pg.Client(settingsOf(port, tenant, over));
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** A connection of the bare protocol that is ready for its first query. `hear`: what is said. */
export async function loggedIn(
  port: number,
  tenant: ThrowawayTenant,
  hear: (message: WireMessage) => void = () => undefined,
  minor = 0,
): Promise<Socket> {
  const { tenantId: user, name: database, password, verifier: text } = tenant;
  const verifier = parseScramVerifier(text);
  if (verifier === undefined) throw new Error("bug: a tenant without a verifier");
  const login = new ScramLogin({ clientKey: clientKeyOf(password, text), verifier });
  const socket = connectRaw(port);
  const peer = { stream: socket, reader: new MessageReader() };
  const signal = AbortSignal.timeout(15_000);
  socket.write(encodeStartupMessage({ minor, parameters: Object.entries({ user, database }) }));
  for (;;) {
    const message = await nextMessage(peer, signal);
    if (message === undefined || message.type === "E") throw new Error("the login was refused");
    hear(message);
    if (message.type === "Z") return socket;
    if (message.type !== "R") continue;
    const code = message.payload.readInt32BE(0);
    if (code === 10) socket.write(encodeSaslInitialResponse(SCRAM_MECHANISM, login.clientFirst));
    const answer = code === 11 ? login.answer(message.payload.subarray(4)) : undefined;
    if (answer !== undefined) socket.write(encodeMessage("p", answer));
  }
}

export function connectRaw(port: number): Socket {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => undefined);
  return socket;
}

/** Everything that comes until the other side ends the connection. */
export async function everything(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** What such a client cancels with. */
export function keyOf(client: pg.Client): BackendKey {
  const { processID, secretKey } = client as unknown as Record<string, number>;
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(secretKey ?? 0);
  return { processId: processID ?? 0, secret };
}

/** Cancels, and waits until the port has done with it. Returns what it said. */
export function cancelAt(port: number, key: BackendKey): Promise<Buffer> {
  const socket = connectRaw(port);
  socket.write(encodeCancelRequest(key));
  return everything(socket);
}

function wrongFinal(serverFirst: string): Buffer {
  const [, nonce = ""] = /r=([^,]*)/.exec(serverFirst) ?? [];
  const proof = Buffer.alloc(32, 7).toString("base64");
  return encodeMessage("p", Buffer.from(`c=biws,r=${nonce},p=${proof}`));
}

const NUL = Buffer.alloc(1);

/** Messages of the extended protocol about what has no name. */
export const UNNAMED = {
  parse: (sql: string) => encodeMessage("P", NUL, Buffer.from(`${sql}\0`), Buffer.alloc(2)),
  bind: encodeMessage("B", NUL, NUL, Buffer.alloc(6)),
  /** `most`: rows; 0: all. */
  execute: (most: number) => encodeMessage("E", NUL, Buffer.from([0, 0, 0, most])),
};
