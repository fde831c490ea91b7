/** Reads `manifest.json`, which comes from a server and may hold anything. */

import { CppoError } from "./errors.js";
import type { Manifest, ManifestFile } from "./types.js";

/** The largest ArrayBuffer that every browser allocates. */
const MAX_FILE_BYTES = 2 ** 31 - 1;

/** Parses and checks a manifest, so that the rest can rely on its fields. */
export function parseManifest(text: string): Manifest {
  const bad = (what: string): never => {
    throw new CppoError("bad-model", `manifest.json ${what}`);
  };
  let value: Partial<Manifest> | null;
  try {
    value = JSON.parse(text) as Partial<Manifest> | null;
  } catch {
    return bad("is not JSON");
  }
  if (typeof value !== "object" || value === null) return bad("is not an object");
  if (value.format !== "cppo-web-1") {
    return bad(`has the format ${JSON.stringify(value.format) ?? "none"}, this version reads "cppo-web-1"`);
  }
  const seen = new Set<string>();
  for (const list of ["files", "shards"] as const) {
    const entries = value[list];
    if (!Array.isArray(entries)) return bad(`has no list ${list}`);
    entries.forEach((entry, place) => {
      const fault = faultOf(entry);
      if (fault) bad(`${list}[${place}] ${fault}`);
      if (seen.has(entry.name)) bad(`names ${entry.name} twice`);
      seen.add(entry.name);
    });
  }
  if (!value.shards!.length) return bad("names no shards");
  const need: Partial<Manifest["requirements"]> = value.requirements ?? {};
  const listed = [...value.files!, ...value.shards!].reduce((sum, file) => sum + file.bytes, 0);
  return {
    format: "cppo-web-1",
    name: String(value.name ?? "model"),
    dtype: value.dtype ?? "f32",
    parameters: Number(value.parameters ?? 0),
    files: value.files!,
    shards: value.shards!,
    requirements: {
      download_bytes: need.download_bytes || listed,
      device_bytes: need.device_bytes || 0,
      largest_buffer_bytes: need.largest_buffer_bytes || 0,
    },
    ...(value.selftest === undefined ? {} : { selftest: value.selftest }),
  };
}

/** All bytes that loading reads. */
export function totalBytes(manifest: Manifest): number {
  return [...manifest.files, ...manifest.shards].reduce((sum, file) => sum + file.bytes, 0);
}

function faultOf(entry: Partial<ManifestFile> | null): string | undefined {
  if (typeof entry !== "object" || entry === null) return "is not an object";
  const { name, bytes, sha256 } = entry;
  if (typeof name !== "string" || !/^[\w][\w.-]*$/.test(name)) return "has no plain file name";
  if (!Number.isSafeInteger(bytes) || bytes! < 0 || bytes! > MAX_FILE_BYTES) {
    return `has bytes ${bytes}, must be a whole number up to ${MAX_FILE_BYTES}`;
  }
  if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/i.test(sha256)) return "has no SHA-256";
  return undefined;
}
