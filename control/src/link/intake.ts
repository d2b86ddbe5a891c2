/**
 * What waits to be taken into the catalogue: one call at a time, each for all that came meanwhile.
 */
export class Intake<Item> {
  readonly #take: (items: readonly Item[]) => Promise<void>;
  readonly #failed: (error: unknown) => void;
  readonly #mostWaiting: number;
  #waiting: Item[] = [];
  #running = false;
  #room: PromiseWithResolvers<void> | undefined;

  constructor(options: {
    /** Takes items in for good. What it throws ends the intake. */
    readonly take: (items: readonly Item[]) => Promise<void>;
    readonly failed: (error: unknown) => void;
    readonly mostWaiting: number;
  }) {
    this.#take = options.take;
    this.#failed = options.failed;
    this.#mostWaiting = options.mostWaiting;
  }

  /** Adds an item. Returns a promise of room when there is none left: offer no more until then. */
  offer(item: Item): Promise<void> | undefined {
    this.#waiting.push(item);
    if (!this.#running) void this.#run();
    if (this.#waiting.length < this.#mostWaiting) return undefined;
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      while (this.#waiting.length > 0) {
        const items = this.#waiting;
        this.#waiting = [];
        this.#room?.resolve();
        this.#room = undefined;
        await this.#take(items);
      }
      this.#running = false;
    } catch (error) {
      this.#waiting = [];
      this.#failed(error);
    }
  }
}
