/** The page: brings its panels together. */

import type { CppoError, Model } from "cppo-web";
import { Conversation } from "./conversation.js";
import { byId } from "./dom.js";
import { LoadingPanel } from "./loading.js";
import { PerceptionPanel } from "./perception.js";
import { PicturePanel } from "./picture.js";
import { runSelftest } from "./selftest.js";
import { bindSettings } from "./settings.js";

let model: Model | undefined;

bindSettings();

const perception = new PerceptionPanel((error) => conversation.showError(error));
const conversation = new Conversation(
  () => perception.hide(),
  (turn) => void perception.show(turn),
);
const picture = new PicturePanel((question) => {
  perception.hide();
  conversation.clear();
  if (question === undefined) return;
  const field = byId<HTMLTextAreaElement>("question");
  field.value = question;
  field.dispatchEvent(new Event("input"));
});
const loading = new LoadingPanel((loaded) => void attach(loaded));

async function attach(loaded: Model | undefined): Promise<void> {
  const before = model;
  model = loaded;
  if (before && before !== loaded) void before.unload();
  perception.hide();
  conversation.attach(loaded, () => picture.current?.bytes);
  if (!loaded) return;
  loaded.addEventListener("lost", () => {
    byId("device-text").textContent = "The engine is gone";
  });
  byId<HTMLInputElement>("reason").checked ||= loaded.manifest.name !== "demo" && !location.hash.includes("reason=");
  try {
    await Promise.all([picture.attach(loaded), perception.attach(loaded)]);
  } catch (error) {
    conversation.showError(error as CppoError);
  }
  document.documentElement.dataset.ready = "";
  if (new URLSearchParams(location.search).has("selftest")) await runSelftest(loaded);
}

byId("restart").addEventListener("click", async () => {
  if (!model) return;
  const button = byId<HTMLButtonElement>("restart");
  button.disabled = true;
  byId("status").textContent = "Restarting…";
  try {
    await model.restart();
    loading.showModel(model);
    byId("error").hidden = true;
    button.hidden = true;
    byId("status").textContent = "The engine is back.";
  } catch (error) {
    byId("status").textContent = "";
    conversation.showError(error as CppoError);
  } finally {
    button.disabled = false;
  }
});

byId("run-selftest").addEventListener("click", () => {
  byId<HTMLDialogElement>("model-dialog").close();
  if (model) void runSelftest(model);
});

void loading.open();
if ("serviceWorker" in navigator) navigator.serviceWorker.register("sw.js").catch(() => {});
