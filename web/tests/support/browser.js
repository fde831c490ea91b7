// A real browser for the tests; CHROMIUM names its program.
import { chromium } from "playwright-core";

const ARGS = [
  "--headless=new", "--no-sandbox", "--disable-dev-shm-usage",
  // A camera that shows a test picture.
  "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
];
const SOFTWARE_WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** Starts Chromium with a software WebGPU adapter, or `webgpu: false` without one. */
export function launch({ webgpu = true } = {}) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: webgpu ? [...ARGS, ...SOFTWARE_WEBGPU] : ARGS,
  });
}

/** A page in a context of its own whose errors and foreign requests are collected. */
export async function openPage(browser, origin, options = {}) {
  const context = await browser.newContext({ baseURL: origin, viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const errors = [];
  const foreign = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !/^(data|blob):/.test(url)) foreign.push(url);
  });
  return { context, page, errors, foreign };
}
