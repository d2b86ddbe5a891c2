/** Logs in to an instance as a tenant's role, with the key that a client of it has shown. */
import {
  AUTHENTICATION,
  type BackendKey,
  decodeBackendKeyData,
  decodeReport,
  encodeMessage,
  encodeSaslInitialResponse,
  SCRAM_MECHANISM,
  type ScramKeys,
  ScramLogin,
  type ServerReport,
  type WireMessage,
} from "@aerodb/postgres";
import type { Route } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import type { ServerConnection } from "./instances.ts";
import { nextMessage } from "./peer.ts";

/** A connection that waits for its first query. */
export interface ReadyServer extends ServerConnection {
  readonly key: BackendKey;
  /** What it said of its settings, and notices, as it said them. */
  readonly greeting: Buffer;
}

export type ServerLogin =
  | { readonly kind: "ready"; readonly server: ReadyServer }
  /** The server does not take the key: the password was replaced meanwhile. */
  | { readonly kind: "refused" }
  /** Something else is in the way, which the client may hear. */
  | { readonly kind: "error"; readonly message: WireMessage }
  | { readonly kind: "lost" };

/** Whether an error says that the server stops or starts. */
export function shutsDown({ payload }: WireMessage): boolean {
  return decodeReport(payload).get("C")?.startsWith("57P0") === true;
}

/** What is told of an error that keeps a client out: Postgres does not know of plans. */
export function reportOfLogin({ payload }: WireMessage, { connectionLimit }: Route): ServerReport {
  const fields = decodeReport(payload);
  const sqlState = fields.get("C") ?? "57P03";
  const all =
    `too many connections: the plan allows ${connectionLimit} at once, and none is left: ` +
    "close some, or use the pooled port";
  const message = sqlState === "53300" ? all : (fields.get("M") ?? "");
  return { severity: "FATAL", sqlState, message };
}

/** Leaves the connection open only if it is ready. Rejects with the signal's reason. */
export async function logIn(
  connection: ServerConnection,
  keys: ScramKeys,
  signal: AbortSignal,
): Promise<ServerLogin> {
  let end: ServerLogin | undefined;
  try {
    end = await new Login(connection, keys).run(signal);
    return end;
  } finally {
    if (end?.kind !== "ready") connection.stream.destroy();
  }
}

class Login {
  readonly #connection: ServerConnection;
  readonly #scram: ScramLogin;
  readonly #greeting: Buffer[] = [];
  #trusted = false;
  #authenticated = false;
  #key: BackendKey | undefined;

  constructor(connection: ServerConnection, keys: ScramKeys) {
    this.#connection = connection;
    this.#scram = new ScramLogin(keys);
  }

  async run(signal: AbortSignal): Promise<ServerLogin> {
    let message: WireMessage | undefined = this.#connection.first;
    for (; message !== undefined; message = await nextMessage(this.#connection, signal)) {
      switch (message.type) {
        case "R":
          this.#authenticate(message.payload);
          break;
        case "S":
        case "N":
          this.#greeting.push(message.bytes);
          break;
        case "K":
          this.#key = decodeBackendKeyData(message.payload);
          break;
        case "E":
          return this.#failed(message);
        case "Z":
          return this.#ready();
        default:
          throw new Error(`bug: an instance says ${JSON.stringify(message.type)} at login`);
      }
    }
    return { kind: "lost" };
  }

  #authenticate(payload: Buffer): void {
    const { stream } = this.#connection;
    const data = payload.subarray(4);
    switch (payload.length < 4 ? -1 : payload.readInt32BE(0)) {
      case AUTHENTICATION.sasl:
        stream.write(encodeSaslInitialResponse(SCRAM_MECHANISM, this.#scram.clientFirst));
        return;
      case AUTHENTICATION.saslContinue:
        stream.write(encodeMessage("p", this.#scram.answer(data) ?? Buffer.alloc(0)));
        return;
      case AUTHENTICATION.saslFinal:
        this.#trusted = this.#scram.trusts(data);
        return;
      case AUTHENTICATION.ok:
        // One that lets in whoever comes, or has no such verifier, is not the tenant's server.
        if (!this.#trusted) throw new Error("bug: an instance did not prove that it is one");
        this.#authenticated = true;
        return;
      default:
        throw new Error("bug: an instance asks for another authentication than SCRAM");
    }
  }

  /** Of what is wrong with the credentials the client must learn no more than that. */
  #failed(message: WireMessage): ServerLogin {
    const sqlState = decodeReport(message.payload).get("C") ?? "";
    const ofCredentials = sqlState.startsWith("28") || sqlState.startsWith("08");
    return !this.#authenticated && ofCredentials ? { kind: "refused" } : { kind: "error", message };
  }

  #ready(): ServerLogin {
    if (!this.#authenticated || this.#key === undefined) {
      throw new Error("bug: an instance is ready before it said who it is");
    }
    const greeting = Buffer.concat(this.#greeting);
    return { kind: "ready", server: { ...this.#connection, key: this.#key, greeting } };
  }
}
