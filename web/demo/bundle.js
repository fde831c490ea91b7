// Builds web/dist: the package (dist/package), the page (dist/index.html) and its service worker.
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build, transform } from "esbuild";

const web = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(web, "dist");
const packageDist = join(dist, "package");

/** What `web/build` makes: engine.js, engine_bg.wasm, and the demo model in model/. */
const ENGINE_DIR = join(web, "package/dist-engine");
const ENGINE_FILES = ["engine.js", "engine_bg.wasm"];

const shared = { bundle: true, format: "esm", target: "es2022", minify: true, legalComments: "none", logLevel: "warning" };

async function buildPackage() {
  const source = (name) => join(web, "package/src", name);
  await build({
    ...shared,
    entryPoints: ["index.ts", "element.ts", "view.ts"].map(source),
    outdir: packageDist,
    splitting: true,
    chunkNames: "chunk-[hash]",
  });
  // The worker is one file, so that bundlers may copy it as it is.
  await build({ ...shared, entryPoints: [source("worker.ts")], outdir: packageDist });
  for (const name of ["package.json", "README.md"]) await cp(join(web, "package", name), join(packageDist, name));
  await cp(join(web, "node_modules/katex/LICENSE"), join(packageDist, "LICENSE-katex"));
  for (const name of [...ENGINE_FILES, "model"]) {
    if (await exists(join(ENGINE_DIR, name))) {
      await cp(join(ENGINE_DIR, name), join(packageDist, name), { recursive: true });
    } else {
      console.warn(`${relative(web, join(ENGINE_DIR, name))} is missing: run web/build for a page that works`);
    }
  }
}

async function buildPage() {
  const source = (name) => join(web, "demo", name);
  await build({
    ...shared,
    entryPoints: { app: source("app.ts") },
    outdir: dist,
    plugins: [{
      name: "package-beside-the-page",
      setup: ({ onResolve }) => {
        onResolve({ filter: /^cppo-web$/ }, () => ({ path: "./package/index.js", external: true }));
        onResolve({ filter: /^cppo-web\// }, ({ path }) => (
          { path: `./package/${path.slice("cppo-web/".length)}.js`, external: true }
        ));
      },
    }],
  });
  const { palette, VIEW_CSS } = await import(pathToFileURL(join(packageDist, "view.js")).href);
  const css = palette(":root") + VIEW_CSS + (await readFile(source("style.css"), "utf8"));
  await writeFile(join(dist, "style.css"), (await transform(css, { loader: "css", minify: true })).code);
  for (const name of ["index.html", "embed.html", "icon.svg", "manifest.webmanifest"]) await cp(source(name), join(dist, name));
  await cp(join(web, "../docs/shapes.png"), join(dist, "shapes.png"));
}

/** The page works offline: its worker keeps every file but the model, which the loader keeps. */
async function buildServiceWorker() {
  const files = (await list(dist)).filter((name) => /\.(html|js|css|svg|png|wasm|webmanifest)$/.test(name) && name !== "sw.js");
  const hash = createHash("sha256");
  for (const name of files) hash.update(name).update(await readFile(join(dist, name)));
  await build({
    ...shared,
    entryPoints: [join(web, "demo/sw.ts")],
    outfile: join(dist, "sw.js"),
    define: { FILES: JSON.stringify([...new Set(["./", ...ENGINE_FILES.map((name) => `package/${name}`), ...files])]), VERSION: JSON.stringify(hash.digest("hex").slice(0, 16)) },
  });
}

async function list(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map((entry) => relative(folder, join(entry.parentPath, entry.name)));
  return names.filter((name) => !name.startsWith("package/model/")).sort();
}

async function exists(path) {
  return stat(path).then(() => true, () => false);
}

await mkdir(packageDist, { recursive: true });
await buildPackage();
await buildPage();
await buildServiceWorker();
