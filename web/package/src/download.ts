/** One file from the network, resumed where it broke off, checked, and kept. */

import { CppoError, throwIfAborted, toCppoError } from "./errors.js";
import type { Meter } from "./progress.js";
import type { Store } from "./store.js";
import type { ManifestFile } from "./types.js";

/** Files are kept in pieces of this size, so that an interrupted download goes on at the last whole one. */
export const SEGMENT_BYTES = 8 * 1024 * 1024;

/** Seconds before the attempts after the first. */
const PAUSES_S = [0.5, 1, 2];

/** What a download needs from its surroundings. */
export interface Context {
  fetch: typeof fetch;
  store: Store;
  meter: Meter;
  signal?: AbortSignal;
  /** Called whenever bytes have arrived. */
  onBytes: () => void;
  /** Called when the store refused; the download goes on without it. */
  onStoreError: (error: CppoError) => void;
  pause?: (seconds: number) => Promise<void>;
}

/** Reads a file from the store as far as it is there, and the rest from the network. */
export async function download(url: string, file: ManifestFile, context: Context): Promise<Uint8Array> {
  for (let attempt = 0; ; attempt++) {
    const piece = new Piece(file, context);
    await piece.restore();
    await piece.fetchRest(url, attempt > 0);
    if (await hasDigest(piece.bytes, file.sha256)) return piece.bytes;
    await piece.forget();
    // Damage in the store or on the way heals by another download; damage on the server does not.
    if (attempt > 0) {
      throw damaged(file);
    }
  }
}

/** Counts the bytes of a file that the store holds. */
export async function storedBytes(file: ManifestFile, store: Store): Promise<number> {
  let bytes = 0;
  while (bytes < file.bytes && (await store.has(key(file, bytes)))) bytes += segmentBytes(file, bytes);
  return bytes;
}

/** Whether bytes have this SHA-256; without a secure context browsers cannot tell, and only sizes count. */
export async function hasDigest(bytes: Uint8Array, sha256: string): Promise<boolean> {
  if (!globalThis.crypto?.subtle) return true;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex === sha256.toLowerCase();
}

/** A file that fills from its start. */
class Piece {
  readonly bytes: Uint8Array;
  private have = 0;
  private stored = 0;

  constructor(
    private readonly file: ManifestFile,
    private readonly context: Context,
  ) {
    this.bytes = new Uint8Array(file.bytes);
  }

  async restore(): Promise<void> {
    while (this.have < this.file.bytes) {
      const segment = await this.context.store.read(key(this.file, this.have)).catch(() => undefined);
      if (segment?.length !== segmentBytes(this.file, this.have)) break;
      this.bytes.set(segment, this.have);
      this.have += segment.length;
      this.context.meter.cache(segment.length);
      this.context.onBytes();
    }
    this.stored = this.have;
  }

  async fetchRest(url: string, reload: boolean): Promise<void> {
    const pause = this.context.pause ?? sleep;
    for (let attempt = 0; this.have < this.file.bytes; attempt++) {
      const before = this.have;
      try {
        await this.fetchOnce(url, reload);
      } catch (error) {
        throwIfAborted(this.context.signal);
        if (this.have > before) attempt = 0; // It goes on, if slowly.
        const seconds = PAUSES_S[attempt];
        if (seconds === undefined || !isTransient(error)) throw unreachable(this.file.name, error);
        await pause(seconds);
        throwIfAborted(this.context.signal);
      }
    }
  }

  private async fetchOnce(url: string, reload: boolean): Promise<void> {
    const { signal } = this.context;
    const headers: Record<string, string> = this.have > 0 ? { Range: `bytes=${this.have}-` } : {};
    const response = await this.context.fetch(url, { headers, signal, cache: reload ? "reload" : "default" });
    if (!response.ok || !response.body) throw new HttpError(response.status);
    // A server that ignores Range sends all again.
    let skip = response.status === 206 ? 0 : this.have;
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const chunk = value.subarray(Math.min(skip, value.length));
      skip -= value.length - chunk.length;
      if (this.have + chunk.length > this.file.bytes) {
        await reader.cancel().catch(() => {});
        throw this.wrongSize("more");
      }
      this.bytes.set(chunk, this.have);
      this.have += chunk.length;
      this.context.meter.fetch(chunk.length);
      this.context.onBytes();
      await this.keep();
    }
    if (this.have < this.file.bytes) throw new TypeError("the connection broke off");
  }

  /** Stores the segments that have become whole. */
  private async keep(): Promise<void> {
    for (;;) {
      const length = segmentBytes(this.file, this.stored);
      if (length === 0 || this.have - this.stored < length) return;
      const segment = this.bytes.slice(this.stored, this.stored + length);
      try {
        await this.context.store.write(key(this.file, this.stored), segment);
      } catch (error) {
        this.context.onStoreError(toCppoError(error));
      }
      this.stored += length;
    }
  }

  async forget(): Promise<void> {
    this.context.meter.fetch(-this.have);
    for (let at = 0; at < this.file.bytes; at += SEGMENT_BYTES) {
      await this.context.store.delete(key(this.file, at)).catch(() => {});
    }
  }

  private wrongSize(how: string): CppoError {
    return new CppoError("integrity", `${this.file.name} has ${how} than the manifest's ${this.file.bytes} bytes`);
  }
}

/** The error of a file with other bytes than the manifest's. */
export function damaged(file: ManifestFile): CppoError {
  return new CppoError("integrity", `${file.name} is damaged: its SHA-256 is not the manifest's`);
}

/** An answer of the server other than the file. */
class HttpError extends Error {
  constructor(readonly status: number) {
    super(`the server answered ${status}`);
  }
}

function isTransient(error: unknown): boolean {
  if (error instanceof CppoError) return false;
  return !(error instanceof HttpError) || error.status >= 500 || error.status === 429 || error.status === 408;
}

/** The error of something that could not be fetched. */
export function unreachable(what: string, error: unknown): CppoError {
  if (error instanceof CppoError) return error;
  if (globalThis.navigator?.onLine === false) {
    return new CppoError("offline", `${what} is not in this browser's cache and there is no network`, { cause: error });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new CppoError("network", `${what} could not be fetched: ${reason}`, { cause: error });
}

function key(file: ManifestFile, offset: number): string {
  return `${file.sha256.toLowerCase()}/${offset / SEGMENT_BYTES}`;
}

function segmentBytes(file: ManifestFile, offset: number): number {
  return Math.min(SEGMENT_BYTES, file.bytes - offset);
}

function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
}
