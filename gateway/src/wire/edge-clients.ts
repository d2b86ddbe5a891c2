/**
 * One channel to each host's agent, made when it is first needed; each shows the newest certificate
 * to connections made later.
 */
import { type Keys, RenewedClient } from "@aerodb/identity";
import type { Endpoint } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";

type HostAddress = Pick<Endpoint, "hostId" | "edgeAddress">;

export class EdgeClients {
  readonly #keys: Keys;
  readonly #clients = new Map<
    string,
    { readonly address: string; readonly client: RenewedClient }
  >();

  constructor(keys: Keys) {
    this.#keys = keys;
  }

  /**
   * The channel to a host. When the host's address has changed, a new one takes the old one's
   * place.
   */
  of(host: HostAddress): RenewedClient {
    const held = this.#clients.get(host.hostId);
    const { hostId: id, edgeAddress: address } = host;
    if (held?.address === address) return held.client;
    held?.client.close();
    const client = new RenewedClient(this.#keys, { kind: "host", id, address: () => address });
    this.#clients.set(id, { address, client });
    return client;
  }

  close(): void {
    for (const { client } of this.#clients.values()) client.close();
    this.#clients.clear();
  }
}
