/** A response as it grows: tokens to iterate over, and a promise of the whole. */

import { toCppoError } from "./errors.js";
import type { Response, Token } from "./types.js";

/** Runs the request; is given a place for tokens and a signal that stops it. */
type Start = (onToken: (token: Token) => void, signal: AbortSignal) => Promise<Response[]>;

/**
 * Iterate over it for tokens, or await `result` (the first response) or `results` (all `n`).
 * Leaving the loop early stops the generation.
 */
export class Generation implements AsyncIterable<Token> {
  readonly result: Promise<Response>;
  readonly results: Promise<Response[]>;
  private readonly stop = new AbortController();
  private readonly tokens: Token[] = [];
  private ended = false;
  private waiting: (() => void)[] = [];

  /** @internal */
  constructor(start: Start, signal?: AbortSignal) {
    const either = signal ? AbortSignal.any([signal, this.stop.signal]) : this.stop.signal;
    const onToken = (token: Token) => {
      this.tokens.push(token);
      this.wake();
    };
    this.results = start(onToken, either)
      .catch((error: unknown) => {
        throw toCppoError(error);
      })
      .finally(() => {
        this.ended = true;
        this.wake();
      });
    this.result = this.results.then((responses) => responses[0]!);
    // Who only iterates sees the error there.
    this.results.catch(() => {});
    this.result.catch(() => {});
  }

  /** Stops within one token; `result` then has the `finish_reason` cancelled, or fails as aborted. */
  abort(): void {
    this.stop.abort();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Token, void, undefined> {
    try {
      for (let next = 0; ; ) {
        if (next < this.tokens.length) yield this.tokens[next++]!;
        else if (this.ended) break;
        else await new Promise<void>((resolve) => this.waiting.push(resolve));
      }
      await this.results;
    } finally {
      if (!this.ended) this.abort();
    }
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
