/** Getting the model: what it needs, how far it is, what went wrong. */

import {
  clearCache, CppoError, load, probe, type DeviceChoice, type Model, type ModelSource, type Probe,
} from "cppo-web";
import { bytesText, progressText } from "cppo-web/view";
import { byId, fillFacts } from "./dom.js";

/** Up to this size a model loads without being asked for. */
const SMALL_BYTES = 16_000_000;

export class LoadingPanel {
  private probed: Probe | undefined;
  private stop: AbortController | undefined;
  private source: ModelSource;
  private device: DeviceChoice = "auto";

  /** @param onModel gets each model that has been loaded, or none when one is taken away */
  constructor(private readonly onModel: (model: Model | undefined) => void) {
    this.source = new URLSearchParams(location.search).get("model") ?? "demo";
    const wanted = new URLSearchParams(location.search).get("device");
    if (wanted === "cpu" || wanted === "webgpu") this.device = wanted;
    byId<HTMLSelectElement>("device").value = this.device;
    byId("loading-start").addEventListener("click", () => void this.load());
    byId("loading-cancel").addEventListener("click", () => this.stop?.abort());
    byId("loading-cpu").addEventListener("click", () => {
      this.device = "cpu";
      byId<HTMLSelectElement>("device").value = "cpu";
      void this.load();
    });
    this.bindDialog();
  }

  /** Reads the manifest, and loads at once what is small or already here. */
  async open(): Promise<void> {
    this.show();
    this.hideError();
    byId("loading-text").textContent = "Reading what it needs…";
    try {
      this.probed = await probe(this.source);
    } catch (error) {
      this.fail(error as CppoError);
      return;
    }
    const { needs, has, manifest, problems } = this.probed;
    const rest = needs.downloadBytes - has.cachedBytes;
    const size = rest <= 0 ? "in this browser's cache" : `${bytesText(rest)} to download`;
    const memory = needs.deviceBytes ? `, ${bytesText(needs.deviceBytes)} of memory` : "";
    byId("loading-text").textContent = `${manifest.name}, ${parametersText(manifest.parameters)}, ${manifest.dtype}: ${size}${memory}.`;
    const list = byId("loading-problems");
    list.replaceChildren(...problems.map((problem) => Object.assign(document.createElement("li"), { textContent: problem })));
    list.hidden = problems.length === 0;
    const saves = (navigator as { connection?: { saveData?: boolean } }).connection?.saveData;
    if (rest <= 0 || (rest <= SMALL_BYTES && !saves)) await this.load();
    else this.offer("Load");
  }

  private async load(): Promise<void> {
    this.onModel(undefined);
    const stop = new AbortController();
    this.stop?.abort();
    this.stop = stop;
    this.show();
    this.hideError();
    byId("loading-start").hidden = true;
    byId("loading-cancel").hidden = false;
    const bar = byId<HTMLProgressElement>("loading-bar");
    bar.hidden = false;
    bar.removeAttribute("value");
    try {
      const model = await load({
        model: this.source,
        device: this.device,
        signal: stop.signal,
        onProgress: (progress) => {
          if (progress.total) bar.value = progress.loaded / progress.total;
          byId("loading-text").textContent = progressText(progress);
        },
      });
      this.note(model);
      this.showModel(model);
      this.onModel(model);
    } catch (error) {
      if (this.stop === stop) this.fail(error as CppoError);
    } finally {
      if (this.stop === stop) {
        bar.hidden = true;
        byId("loading-cancel").hidden = true;
      }
    }
  }

  /** Leaves what speaks against this browser on the page, in one line. */
  private note({ storeError }: Model): void {
    const panel = byId("loading");
    const problems = this.probed?.problems ?? [];
    panel.hidden = !storeError && problems.length === 0;
    panel.classList.add("note");
    byId("loading-text").textContent = storeError
      ? `The model will be downloaded again next time: ${storeError.message}. ${storeError.hint}`
      : "";
  }

  /** Tells device and model, also after a restart. */
  showModel(model: Model): void {
    const { device, manifest } = model;
    const where = device.backend === "webgpu" ? "WebGPU" : "processor";
    byId("device-text").textContent = `${manifest.name} on ${where}`;
    byId("device-chip").dataset.backend = device.backend;
    const facts: [string, string][] = [
      ["Model", manifest.name],
      ["Size", `${parametersText(manifest.parameters)}, ${manifest.dtype}`],
      ["Device", where],
      ["Adapter", device.adapter || "not told"],
      ["Half precision", device.f16 ? "yes" : "no"],
      ["Largest buffer", bytesText(device.maxBufferBytes)],
      ["Kept for the next time", model.storeError ? "no" : "yes"],
    ];
    fillFacts(byId("facts"), facts);
  }

  private bindDialog(): void {
    const dialog = byId<HTMLDialogElement>("model-dialog");
    const folder = byId<HTMLInputElement>("folder");
    folder.toggleAttribute("webkitdirectory", true);
    byId("device-chip").addEventListener("click", () => dialog.showModal());
    const choose = (source: ModelSource) => {
      this.source = source;
      this.device = byId<HTMLSelectElement>("device").value as DeviceChoice;
      dialog.close();
      void this.open();
    };
    byId("model-load").addEventListener("click", () => {
      const field = byId<HTMLInputElement>("model-url");
      if (!field.reportValidity()) return;
      choose(field.value.trim() || this.source);
    });
    byId("model-demo").addEventListener("click", () => choose("demo"));
    byId("model-folder").addEventListener("click", () => folder.click());
    folder.addEventListener("change", () => {
      if (folder.files?.length) choose([...folder.files]);
    });
    byId("clear-cache").addEventListener("click", async (event) => {
      await clearCache();
      (event.target as HTMLElement).textContent = "Cleared";
    });
  }

  private fail(error: CppoError): void {
    byId("device-text").textContent = "No model";
    const failure = byId("loading-error");
    failure.hidden = error.code === "aborted";
    failure.textContent = `${error.message}. ${error.hint}`;
    byId("loading-text").textContent = error.code === "aborted" ? "Stopped; what has arrived is kept." : "The model could not be loaded.";
    byId("loading-cpu").hidden = error.code !== "no-adapter" && error.code !== "device-lost";
    this.offer(error.code === "aborted" ? "Go on" : "Try again");
  }

  private offer(label: string): void {
    const button = byId("loading-start");
    button.textContent = label;
    button.hidden = false;
  }

  private show(): void {
    byId("loading").hidden = false;
    byId("loading").classList.remove("note");
  }

  private hideError(): void {
    byId("loading-error").hidden = true;
    byId("loading-cpu").hidden = true;
    byId("loading-start").hidden = true;
  }
}

function parametersText(parameters: number): string {
  if (parameters >= 1e9) return `${(parameters / 1e9).toFixed(1)} billion parameters`;
  if (parameters >= 1e5) return `${(parameters / 1e6).toFixed(1)} million parameters`;
  return `${parameters} parameters`;
}
