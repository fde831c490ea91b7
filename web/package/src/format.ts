/** Amounts as people read them. */

import type { Passes, Progress } from "./types.js";

/** Bytes with a decimal unit, as operating systems and servers count downloads. */
export function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  let amount = bytes;
  while (amount >= 999.5 && unit < units.length - 1) {
    amount /= 1000;
    unit++;
  }
  return `${amount < 9.95 && unit > 0 ? amount.toFixed(1) : Math.round(amount)} ${units[unit]}`;
}

/** Seconds as `45 s`, `2 min 5 s`, `1 h 3 min`. */
export function secondsText(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Speed with as many figures as mean something. */
export function speedText(tokensPerSecond: number): string {
  return `${tokensPerSecond.toFixed(tokensPerSecond < 100 ? 1 : 0)} tokens/s`;
}

/** Looking again in one line. */
export function passesText({ done, total }: Passes): string {
  return `Looking again without the picture's information, ${done} of ${total}…`;
}

/** Loading in one line. */
export function progressText({ phase, loaded, total, cached, rate, eta }: Progress): string {
  if (phase === "engine") return "Starting the engine…";
  if (phase === "ready") return "Ready";
  const amount = `Loading ${bytesText(loaded)} of ${bytesText(total)}`;
  if (rate <= 0) return cached > 0 ? `${amount} from this device` : amount;
  return `${amount}, ${bytesText(rate)}/s${eta === undefined ? "" : `, ${secondsText(eta)} left`}`;
}
