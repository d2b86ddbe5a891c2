import { Fault } from "@aerodb/model";
import { grpcError } from "@aerodb/wire";
import type { ServerDuplexStream } from "@grpc/grpc-js";

type Call = ServerDuplexStream<unknown, unknown>;

/**
 * Messages that wait for a slow reader; more, and the stream ends: it begins anew with a whole
 * state.
 */
const MOST_WAITING = 2_000;

/** One stream of an agent or a gateway: sends in order, never faster than it is read. */
export class LinkStream<Received, Sent> {
  readonly #call: Call;
  readonly #over = new AbortController();
  #waiting = 0;
  #sending: Promise<void> = Promise.resolve();

  constructor(call: Call) {
    this.#call = call;
    call.on("cancelled", () => this.#finish("the other side went away"));
    call.on("close", () => this.#finish("the stream was closed"));
    call.on("error", () => this.#finish("the stream broke"));
  }

  /** Aborted as soon as the stream is over, whoever ended it. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** Calls `take` with every message, and `ended` once no more will come. */
  receive(take: (message: Received) => void, ended: () => void): void {
    this.#call.on("data", take);
    this.#call.on("end", ended);
  }

  /** Stops reading until `room` resolves: the other side waits meanwhile. */
  holdBack(room: Promise<void>): void {
    this.#call.pause();
    void room.finally(() => this.#call.resume());
  }

  /** Resolves once there is room for more; at once when the stream is over. */
  send(message: Sent): Promise<void> {
    if (this.#waiting >= MOST_WAITING) {
      this.end(new Fault("UNAVAILABLE", "The stream is not read fast enough."));
    }
    this.#waiting += 1;
    this.#sending = this.#sending.then(() => this.#write(message));
    return this.#sending;
  }

  /** Ends the stream with a fault, or in peace. Repeating it has no further effect. */
  end(thrown?: unknown): void {
    if (this.#over.signal.aborted) return;
    this.#finish("control ended the stream");
    if (thrown === undefined) this.#call.end();
    else this.#call.emit("error", grpcError(thrown));
  }

  async #write(message: Sent): Promise<void> {
    this.#waiting -= 1;
    if (this.#over.signal.aborted || this.#call.write(message)) return;
    await new Promise<void>((resolve) => {
      const proceed = (): void => {
        this.#call.off("drain", proceed);
        this.signal.removeEventListener("abort", proceed);
        resolve();
      };
      this.#call.on("drain", proceed);
      this.signal.addEventListener("abort", proceed);
    });
  }

  #finish(reason: string): void {
    if (!this.#over.signal.aborted) this.#over.abort(new Fault("UNAVAILABLE", `${reason}.`));
  }
}
