// A static server of web/dist for tests and for looking at the page: `node tests/support/serve.js [PORT]`.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const tests = dirname(dirname(fileURLToPath(import.meta.url)));
export const DIST = join(tests, "../dist");

const TYPES = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm",
  ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".webmanifest": "application/manifest+json",
};

/**
 * Serves the built page. With `fake`, the engine is the fake one configured by it, and the demo model
 * is made of the bytes in `files`; both may be changed while it runs. `models` is a folder of exported
 * models, at `/models/`. `requests` lists what was asked for.
 */
export async function serve({ port = 0, fake, files = {}, models } = {}) {
  const state = { fake, files, models, requests: [], refuse: new Map() };
  const server = createServer((request, response) => {
    answer(state, request, response).catch(() => response.destroy());
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  const origin = `http://localhost:${server.address().port}`;
  const close = () => new Promise((resolve) => {
    server.closeAllConnections();
    server.close(resolve);
  });
  return Object.assign(state, { origin, close });
}

async function answer(state, request, response) {
  const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
  state.requests.push({ path, range: request.headers.range });
  const status = state.refuse.get(path);
  if (status) return void response.writeHead(status).end();
  if (state.fake) {
    if (path === "/package/engine.js") return send(response, ".js", await fakeModule(state.fake));
    if (path === "/package/engine_bg.wasm") return send(response, ".wasm", "");
    const name = path.replace(/^\/package\/model\//, "");
    if (state.files[name]) return sendRange(request, response, state.files[name]);
  }
  const exported = state.models && path.startsWith("/models/");
  const root = exported ? state.models : DIST;
  const file = join(root, normalize(exported ? path.slice("/models".length) : path), path.endsWith("/") ? "index.html" : "");
  const found = file.startsWith(root) ? await stat(file).catch(() => undefined) : undefined;
  if (!found?.isFile()) return void response.writeHead(404).end();
  response.writeHead(200, { ...headers(extname(file)), "content-length": found.size });
  createReadStream(file).pipe(response);
}

function headers(extension) {
  return { "content-type": TYPES[extension] ?? "application/octet-stream", "cache-control": "no-cache" };
}

function send(response, extension, body) {
  response.writeHead(200, headers(extension)).end(body);
}

function sendRange(request, response, bytes) {
  const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
  if (!range) return send(response, "", bytes);
  const start = Number(range[1]);
  response.writeHead(206, { ...headers(""), "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` });
  response.end(bytes.subarray(start));
}

async function fakeModule(settings) {
  return `${await readFile(join(tests, "fake-engine.js"), "utf8")}\nconfigure(${JSON.stringify(settings)});\n`;
}

/** A model of random sense, with its manifest. */
export function fakeModel({ shards: count = 2, shardBytes = 100_000, name = "demo" } = {}) {
  const files = { "config.json": Buffer.from("{}"), "tokenizer.json": Buffer.from("{}") };
  const shards = {};
  for (let shard = 1; shard <= count; shard++) {
    shards[`model-0000${shard}-of-0000${count}.safetensors`] = Buffer.alloc(shardBytes, shard);
  }
  const entry = ([file, bytes]) => ({ name: file, bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") });
  const manifest = {
    format: "cppo-web-1", name, dtype: "f32", parameters: 927456,
    files: Object.entries(files).map(entry),
    shards: Object.entries(shards).map(entry),
    requirements: { download_bytes: count * shardBytes + 4, device_bytes: 1_000_000, largest_buffer_bytes: 100_000 },
  };
  return { ...files, ...shards, "manifest.json": Buffer.from(JSON.stringify(manifest)) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fake = process.argv.includes("--fake") ? { pace: 40 } : undefined;
  const { origin } = await serve({ port: Number(process.argv[2] ?? 8080) || 8080, fake, files: fake ? fakeModel() : {} });
  console.log(`${origin}/`);
}
