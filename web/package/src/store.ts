/** Where downloaded bytes stay, in the browser's Cache API. */

const CACHE = "cppo-web-1";
/** Keys of the Cache API are addresses; nothing is ever fetched from this one. */
const ORIGIN = "https://cppo-web.invalid/";

/** Bytes by key. */
export interface Store {
  has(key: string): Promise<boolean>;
  read(key: string): Promise<Uint8Array | undefined>;
  write(key: string, bytes: Uint8Array): Promise<void>;
  delete(key: string): Promise<void>;
}

/** The browser's store; one that keeps nothing where it is missing or forbidden. */
export async function openStore(): Promise<Store> {
  try {
    return new CacheStore(await caches.open(CACHE));
  } catch {
    return new NoStore();
  }
}

/** Deletes all models that this package keeps for this site. */
export async function clearCache(): Promise<void> {
  if (typeof caches !== "undefined") await caches.delete(CACHE);
}

class CacheStore implements Store {
  constructor(private readonly cache: Cache) {}

  async has(key: string): Promise<boolean> {
    return (await this.cache.match(ORIGIN + key)) !== undefined;
  }

  async read(key: string): Promise<Uint8Array | undefined> {
    const found = await this.cache.match(ORIGIN + key);
    return found && new Uint8Array(await found.arrayBuffer());
  }

  async write(key: string, bytes: Uint8Array): Promise<void> {
    await this.cache.put(ORIGIN + key, new Response(bytes as Uint8Array<ArrayBuffer>));
  }

  async delete(key: string): Promise<void> {
    await this.cache.delete(ORIGIN + key);
  }
}

class NoStore implements Store {
  async has(): Promise<boolean> {
    return false;
  }
  async read(): Promise<undefined> {
    return undefined;
  }
  async write(): Promise<void> {}
  async delete(): Promise<void> {}
}
