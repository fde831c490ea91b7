/** The picture that is asked about: from a file, the clipboard, the camera, or a sample. */

import { CppoError, type GymItem, type ImageInfo, type Model } from "cppo-web";
import { takePicture } from "./camera.js";
import { byId, make } from "./dom.js";
import { asked, setSample } from "./settings.js";

/** Kinds of samples in the order of the gallery; the demo model was schooled on the first two. */
const FAMILIES = [
  "count_color", "count_shape", "color_at", "shape_at", "color_of",
  "shape_of", "leftmost", "relation", "compare_bars", "add_digits",
];
/** Samples shown at once. */
const SHOWN = 6;
/** Below this width pictures are drawn with their pixels visible. */
const SMALL = 200;

export interface Picture {
  bytes: Uint8Array;
  /** For `<img>`. */
  url: string;
}

export class PicturePanel {
  current: Picture | undefined;
  private model: Model | undefined;
  private page = 0;
  private sampleItems = new Map<string, GymItem>();

  /** @param onChange also gets the question that belongs to a sample */
  constructor(private readonly onChange: (question?: string) => void) {
    const file = byId<HTMLInputElement>("file");
    byId("choose").addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      if (file.files?.[0]) void this.useBlob(file.files[0]);
      file.value = "";
    });
    byId("camera").addEventListener("click", async () => {
      const taken = await takePicture();
      if (taken) void this.useBlob(taken);
    });
    byId("more-samples").addEventListener("click", () => {
      this.page++;
      void this.fillGallery();
    });
    this.acceptDrops();
    document.addEventListener("paste", (event) => {
      const pasted = imageIn(event.clipboardData);
      if (pasted) {
        event.preventDefault();
        void this.useBlob(pasted);
      }
    });
    // Once there is an engine, what it says counts.
    byId("picture").addEventListener("error", () => this.model || this.say("This browser cannot show the picture."));
  }

  /** Fills the gallery, and measures the picture that is there. */
  async attach(model: Model): Promise<void> {
    this.model = model;
    await this.fillGallery();
    const wanted = asked("sample")?.split(":");
    const unasked = byId<HTMLTextAreaElement>("question").value === "";
    if (!this.current && wanted?.length === 2) {
      await this.useSample(wanted[0]!, Number(wanted[1]), unasked).catch(() => {});
    }
    if (!this.current) await this.useSample("count_color", 0, unasked);
    else await this.describe();
  }

  async useBlob(blob: Blob): Promise<void> {
    setSample(undefined);
    this.use(new Uint8Array(await blob.arrayBuffer()), blob.type);
    this.onChange();
    await this.describe();
  }

  private async useSample(family: string, index: number, withQuestion: boolean): Promise<void> {
    const item = await this.item(family, index);
    setSample(`${family}:${index}`);
    this.use(item.image, "image/png");
    this.onChange(withQuestion ? item.question : undefined);
    for (const button of byId("gallery").querySelectorAll<HTMLButtonElement>("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.sample === `${family}:${index}`));
    }
    await this.describe();
  }

  private use(bytes: Uint8Array, type: string): void {
    if (this.current) URL.revokeObjectURL(this.current.url);
    const url = URL.createObjectURL(new Blob([bytes as BlobPart], { type }));
    this.current = { bytes, url };
    byId("drop-hint").hidden = true;
    const image = byId<HTMLImageElement>("picture");
    image.hidden = false;
    image.onload = () => {
      image.classList.toggle("small", image.naturalWidth < SMALL);
      if (!this.model) this.say(`${image.naturalWidth} × ${image.naturalHeight}`);
    };
    image.src = url;
    for (const button of byId("gallery").children) button.setAttribute("aria-pressed", "false");
  }

  private async describe(): Promise<void> {
    const picture = this.current;
    if (!picture || !this.model) return;
    try {
      const info = await this.model.describeImage(picture.bytes);
      if (picture === this.current) this.say(sizeText(info));
    } catch (error) {
      const failure = error as CppoError;
      if (picture === this.current) this.say(`${failure.message}. ${failure.hint}`);
    }
  }

  private async fillGallery(): Promise<void> {
    const gallery = byId("gallery");
    const button = byId<HTMLButtonElement>("more-samples");
    button.disabled = true;
    // The families that the demo model knows come twice as often.
    const order = ["count_color", "count_shape", ...FAMILIES];
    const picks = Array.from({ length: SHOWN }, (_, place) => {
      const at = this.page * SHOWN + place;
      const family = this.page === 0 ? FAMILIES[place % 2]! : order[at % order.length]!;
      return [family, at] as const;
    });
    const buttons = [];
    for (const [family, index] of picks) {
      const item = await this.item(family, index).catch(() => undefined);
      if (!item) continue;
      const url = URL.createObjectURL(new Blob([item.image as BlobPart], { type: "image/png" }));
      const image = make("img", { src: url, alt: "", onload: () => URL.revokeObjectURL(url) });
      const made = make("button", { type: "button", className: "sample", title: item.question }, image);
      made.dataset.sample = `${family}:${index}`;
      made.setAttribute("aria-label", `Sample: ${item.question}`);
      made.setAttribute("aria-pressed", "false");
      made.addEventListener("click", () => void this.useSample(family, index, true));
      buttons.push(made);
    }
    gallery.replaceChildren(...buttons);
    button.disabled = false;
  }

  private async item(family: string, index: number): Promise<GymItem> {
    const key = `${family}:${index}`;
    const known = this.sampleItems.get(key);
    if (known) return known;
    const item = await this.model!.gymItem(family, index);
    this.sampleItems.set(key, item);
    return item;
  }

  private acceptDrops(): void {
    const zone = byId("drop");
    const over = (event: DragEvent, is: boolean) => {
      event.preventDefault();
      zone.classList.toggle("over", is);
    };
    document.addEventListener("dragover", (event) => over(event, true));
    document.addEventListener("dragleave", (event) => over(event, false));
    document.addEventListener("drop", (event) => {
      over(event, false);
      const dropped = imageIn(event.dataTransfer);
      if (dropped) void this.useBlob(dropped);
      else this.say("That is not a picture.");
    });
  }

  private say(text: string): void {
    byId("picture-info").textContent = text;
  }
}

function sizeText({ width, height, processedWidth, processedHeight, tokens }: ImageInfo): string {
  const same = width === processedWidth && height === processedHeight;
  const seen = same ? "" : `, seen as ${processedWidth} × ${processedHeight}`;
  return `${width} × ${height}${seen}, ${tokens} visual tokens`;
}

function imageIn(data: DataTransfer | null): File | undefined {
  return [...(data?.files ?? [])].find(({ type }) => type.startsWith("image/"));
}
