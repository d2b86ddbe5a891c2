/**
 * Key material in use that may be replaced: connections made later show and trust the newer,
 * connections that are open stay. What is made of it (credentials, TLS options) need not be made
 * anew.
 */
import type { experimental } from "@grpc/grpc-js";

/** What a server or client proves itself with and whom it trusts, PEM. */
export interface KeyMaterial {
  readonly certificate: string;
  readonly privateKey: string;
  /** One or more certificates of authorities. */
  readonly caCertificate: string;
}

/** Keys that somebody else may replace. */
export interface Keys extends experimental.CertificateProvider {
  readonly current: KeyMaterial;
  /** Calls back after every replacement, until the returned function is called. */
  onReplaced(listener: (current: KeyMaterial) => void): () => void;
}

type CaListener = experimental.CaCertificateUpdateListener;
type IdentityListener = experimental.IdentityCertificateUpdateListener;

export class HeldKeys<Material extends KeyMaterial = KeyMaterial> implements Keys {
  #current: Material;
  readonly #caListeners = new Set<CaListener>();
  readonly #identityListeners = new Set<IdentityListener>();
  readonly #listeners = new Set<(current: Material) => void>();

  constructor(first: Material) {
    this.#current = first;
  }

  get current(): Material {
    return this.#current;
  }

  replace(next: Material): void {
    this.#current = next;
    for (const listener of this.#caListeners) this.#tellCa(listener);
    for (const listener of this.#identityListeners) this.#tellIdentity(listener);
    for (const listener of this.#listeners) listener(next);
  }

  onReplaced(listener: (current: Material) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells a moment later: grpc-js adds its listeners before it is ready to hear. */
  addCaCertificateListener(listener: CaListener): void {
    this.#caListeners.add(listener);
    queueMicrotask(() => this.#tellCa(listener));
  }

  removeCaCertificateListener(listener: CaListener): void {
    this.#caListeners.delete(listener);
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.add(listener);
    queueMicrotask(() => this.#tellIdentity(listener));
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.delete(listener);
  }

  #tellCa(listener: CaListener): void {
    if (!this.#caListeners.has(listener)) return;
    listener({ caCertificate: Buffer.from(this.#current.caCertificate) });
  }

  #tellIdentity(listener: IdentityListener): void {
    if (!this.#identityListeners.has(listener)) return;
    const { certificate, privateKey } = this.#current;
    listener({ certificate: Buffer.from(certificate), privateKey: Buffer.from(privateKey) });
  }
}
