/** Pictures as the engine takes them: encoded bytes. */

import { CppoError, throwIfAborted } from "./errors.js";
import { unreachable } from "./download.js";
import type { ImageInput } from "./types.js";

/** Reads a picture's bytes; addresses are fetched. */
export async function imageBytes(image: ImageInput, signal?: AbortSignal): Promise<Uint8Array> {
  if (image instanceof Blob) return new Uint8Array(await image.arrayBuffer());
  if (image instanceof ArrayBuffer) return new Uint8Array(image);
  if (ArrayBuffer.isView(image)) return new Uint8Array(image.buffer, image.byteOffset, image.byteLength);
  if (typeof image !== "string" && !(image instanceof URL)) {
    throw new CppoError("bad-image", "a picture must be a Blob, bytes, or an address");
  }
  const address = String(image);
  // Data addresses are long; errors name the start only.
  const name = address.length > 80 ? `${address.slice(0, 80)}…` : address;
  try {
    const response = await fetch(address, { signal });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throwIfAborted(signal);
    throw unreachable(name, error);
  }
}
