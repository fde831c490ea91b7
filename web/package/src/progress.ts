/** Bytes of many files as one progress with rate and time left. */

import type { Progress } from "./types.js";

/** Seconds over which the rate is averaged. */
const WINDOW_S = 4;

export class Meter {
  private loaded = 0;
  private cached = 0;
  private fetched = 0;
  /** Time in seconds, and bytes fetched by then. */
  private samples: [number, number][] = [];

  /** @param now milliseconds, of any origin */
  constructor(
    private readonly total: number,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.samples.push([this.now() / 1000, 0]);
  }

  /** Counts bytes from the network; negative where they turned out to be damaged. */
  fetch(bytes: number): void {
    this.loaded += bytes;
    if (bytes <= 0) return;
    this.fetched += bytes;
    const time = this.now() / 1000;
    this.samples.push([time, this.fetched]);
    // The newest sample older than the window stays, as its start.
    while (this.samples.length > 2 && this.samples[1]![0] <= time - WINDOW_S) this.samples.shift();
  }

  /** Counts bytes from the cache, or from the user's own files. */
  cache(bytes: number): void {
    this.loaded += bytes;
    this.cached += bytes;
  }

  progress(phase: Progress["phase"]): Progress {
    const [start, before] = this.samples[0]!;
    const seconds = this.now() / 1000 - start;
    const rate = seconds > 0 ? (this.fetched - before) / seconds : 0;
    const { loaded, total, cached } = this;
    const left = total - loaded;
    const eta = left <= 0 ? 0 : rate > 0 ? left / rate : undefined;
    return { phase, loaded, total, cached, rate, eta };
  }
}
