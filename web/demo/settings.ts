/** What the reader has chosen, in the page's controls and in its address after `#`. */

import { byId, debounce } from "./dom.js";

/** Controls whose value is a setting, with their key in the address. */
const CONTROLS = {
  question: "q",
  temperature: "temperature",
  seed: "seed",
  length: "length",
  kind: "removing",
  strength: "strength",
  draws: "draws",
  top: "top",
} as const;

const CHECKS = { reason: "reason", look: "look" } as const;

type Control = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

/** Sample shown in place of a picture of the reader's, as `family:index`. */
let sample: string | undefined;

export function setSample(value: string | undefined): void {
  sample = value;
  keep();
}

/** A setting as the address had it when the page was opened. */
export function asked(key: string): string | undefined {
  return initial.get(key) ?? undefined;
}

const initial = new URLSearchParams(location.hash.slice(1));
const defaults = new Map<string, string>();

/** Takes the settings from the address, and keeps the address up to date. */
export function bindSettings(): void {
  for (const [id, key] of Object.entries(CONTROLS)) {
    const control = byId<Control>(id);
    defaults.set(id, control.value);
    const value = initial.get(key);
    if (value !== null) control.value = value;
    control.addEventListener("input", keep);
  }
  for (const [id, key] of Object.entries(CHECKS)) {
    const control = byId<HTMLInputElement>(id);
    defaults.set(id, String(control.checked));
    if (initial.has(key)) control.checked = initial.get(key) === "1";
    control.addEventListener("input", keep);
  }
  const view = initial.get("view");
  for (const radio of document.querySelectorAll<HTMLInputElement>("input[name=view]")) {
    if (radio.value === view) radio.checked = true;
    radio.addEventListener("input", keep);
  }
}

/** The page's address with all settings that are not the defaults. */
export function permalink(): string {
  const settings = new URLSearchParams();
  for (const [id, key] of Object.entries(CONTROLS)) {
    const { value } = byId<Control>(id);
    // A kind without a strength leaves the slider as it was.
    const shown = id !== "strength" || !byId("strength-label").hidden;
    if (shown && value !== defaults.get(id)) settings.set(key, value);
  }
  for (const [id, key] of Object.entries(CHECKS)) {
    const { checked } = byId<HTMLInputElement>(id);
    if (String(checked) !== defaults.get(id)) settings.set(key, checked ? "1" : "0");
  }
  if (view() !== "text") settings.set("view", view());
  if (sample) settings.set("sample", sample);
  const url = new URL(location.href);
  url.hash = settings.toString();
  return url.href;
}

export function view(): "text" | "table" {
  const chosen = document.querySelector<HTMLInputElement>("input[name=view]:checked");
  return chosen?.value === "table" ? "table" : "text";
}

const keep = debounce(() => history.replaceState(null, "", permalink()), 300);

/** A whole number from a field, within its own bounds. */
export function whole(id: string, fallback: number): number {
  const field = byId<HTMLInputElement>(id);
  const value = Math.round(Number(field.value));
  if (field.value === "" || !Number.isFinite(value)) return fallback;
  return Math.min(Math.max(value, Number(field.min || 0)), Number(field.max || Number.MAX_SAFE_INTEGER));
}
