/**
 * Real control over a real catalogue, and real agents (ledger, link, reconciler) on hosts that
 * exist in memory only: many of them, small, and easy to break.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { channelCredentials, ensureIdentity } from "@aerodb/identity";
import { HelloSchema } from "@aerodb/rpc/aerodb/agent/v1/link_service_pb.js";
import { silent } from "@aerodb/runtime";
import { startThrowawayPostgres, type ThrowawayPostgres } from "@aerodb/testkit";
import { GRPC_OPTIONS } from "@aerodb/wire";
import { create } from "@bufbuild/protobuf";
import { Client } from "@grpc/grpc-js";
import { FakeHost } from "../../agent/src/drivers/fake-host.ts";
import { Host } from "../../agent/src/host.ts";
import { openLink } from "../../agent/src/open-link.ts";
import { type Piece, startPiece } from "../piece-process.ts";
import { ask, KEY } from "./ask.ts";

const MIB = 1_048_576n;

/** One of several controls over one catalogue. */
export interface ControlProcess extends Piece {
  readonly apiAddress: string;
  readonly linkAddress: string;
}

/** A host in memory and the agent that looks after it, which may be ended and started again. */
export class FleetHost {
  readonly name: string;
  readonly fake: FakeHost;
  readonly #directory: string;
  readonly #memoryMiB: number;
  #running: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined;

  constructor(options: { name: string; directory: string; memoryMiB: number }) {
    this.name = options.name;
    this.fake = new FakeHost({ room: 1_000 });
    this.#directory = options.directory;
    this.#memoryMiB = options.memoryMiB;
  }

  /** Starts the agent. Needs a join token the first time only. */
  async start(apiAddress: string, joinToken?: string, linkAddress?: string): Promise<void> {
    const stop = new AbortController();
    const { signal } = stop;
    const identity = await ensureIdentity({
      directory: join(this.#directory, "identity"),
      kind: "host",
      apiAddress,
      joinToken,
      name: this.name,
      signal: AbortSignal.timeout(20_000),
    });
    const host = new Host({
      home: this.#directory,
      driver: this.fake,
      tenants: () => this.fake,
      logger: silent,
      signal,
    });
    await host.start();
    const credentials = channelCredentials(identity, { kind: "control" });
    const client = new Client(linkAddress ?? identity.linkAddress, credentials, GRPC_OPTIONS);
    const hello = (generation: bigint) => create(HelloSchema, this.#hello(generation));
    const link = openLink({ host, client, hello, logger: silent, signal });
    const ended = link.run().then(() => {
      client.close();
      host.close();
    });
    this.#running = { stop, ended };
  }

  /** Starts the agent at another control than the one it joined through. */
  startAt(control: ControlProcess): Promise<void> {
    return this.start(control.apiAddress, undefined, control.linkAddress);
  }

  /** Ends the agent; what runs on the host goes on. */
  async end(): Promise<void> {
    this.#running?.stop.abort(new Error("the test ended the agent"));
    await this.#running?.ended;
    this.#running = undefined;
  }

  /** Every tenant the host holds, by id. */
  tenants(): string[] {
    return Object.values(this.fake.contents).flatMap(({ tenants }) => tenants);
  }

  #hello(generation: bigint) {
    return {
      agentVersion: "0.1.0",
      edgeAddress: "127.0.0.1:1",
      generation,
      fingerprint: {
        bootId: `boot of ${this.name}`,
        memoryBytes: BigInt(this.#memoryMiB) * MIB,
        cores: 64,
        diskBytes: 1_000_000n * MIB,
        engines: ["18.4"],
        kernel: "Linux 6.1.0",
      },
    };
  }
}

export class FakeFleet {
  readonly #home = mkdtempSync(join(tmpdir(), "aerodb-fleet-"));
  readonly #catalogue: ThrowawayPostgres;
  readonly #hosts: FleetHost[] = [];
  readonly #controls: ControlProcess[] = [];

  constructor(catalogue: ThrowawayPostgres) {
    this.#catalogue = catalogue;
  }

  static async start(): Promise<FakeFleet> {
    return new FakeFleet(await startThrowawayPostgres());
  }

  /** Starts another control over the same catalogue and the same certificate authority. */
  async control(): Promise<ControlProcess> {
    const piece = startPiece("control", {
      AERODB_CONTROL_CATALOGUE_URL: this.#catalogue.url("postgres"),
      AERODB_CONTROL_HOME: join(this.#home, "control"),
      AERODB_CONTROL_API_PORT: "0",
      AERODB_CONTROL_LINK_PORT: "0",
      AERODB_CONTROL_PLATFORM_KEY: KEY,
      AERODB_CONTROL_WARM_INSTANCES: "0",
    });
    const { apiPort = 0, linkPort = 0 } = await piece.ready;
    const addresses = {
      apiAddress: `127.0.0.1:${apiPort}`,
      linkAddress: `127.0.0.1:${linkPort}`,
    };
    const control = { ...piece, ...addresses };
    this.#controls.push(control);
    return control;
  }

  /** Joins a new host through a control and starts its agent there. */
  async host(control: ControlProcess, name: string, memoryMiB: number): Promise<FleetHost> {
    const directory = mkdtempSync(join(this.#home, `${name}-`));
    const host = new FleetHost({ name, directory, memoryMiB });
    this.#hosts.push(host);
    const asked = { kind: "host", region: "us-east-1" };
    const { body } = await ask(control, "HostService/CreateJoinToken", asked);
    await host.start(control.apiAddress, body.joinToken);
    return host;
  }

  async close(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.end()));
    await Promise.all(this.#controls.map((control) => control.stop()));
    await this.#catalogue.close();
    rmSync(this.#home, { recursive: true, force: true });
  }
}
