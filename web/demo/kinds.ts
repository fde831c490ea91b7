/** Perturbations that remove information, with the one strength that each has in the page. */

import type { Perturbation } from "cppo-web";

export interface Strength {
  name: string;
  min: number;
  max: number;
  step: number;
  value: number;
  /** The parameters for a strength. */
  parameters(value: number): Record<string, unknown>;
}

interface Known {
  label: string;
  strength?: Strength;
}

const KINDS: Record<string, Known> = {
  blank: { label: "everything (blank)" },
  noise_rectangles: {
    label: "places (noise rectangles)",
    strength: { name: "Rectangles", min: 5, max: 200, step: 5, value: 50, parameters: (count) => ({ count }) },
  },
  zoom_crop: {
    label: "the surroundings (zoom crop)",
    strength: {
      name: "Share kept", min: 0.2, max: 0.9, step: 0.05, value: 0.65,
      parameters: (scale) => ({ scale: [scale, scale] }),
    },
  },
  patch_mask: {
    label: "patches (patch mask)",
    strength: { name: "Share hidden", min: 0.1, max: 1, step: 0.05, value: 0.6, parameters: (ratio) => ({ ratio }) },
  },
  gaussian_blur: {
    label: "detail (blur)",
    strength: {
      name: "Radius, pixels", min: 0.5, max: 20, step: 0.5, value: 4,
      parameters: (sigma) => ({ sigma: [sigma, sigma] }),
    },
  },
  posterize: {
    label: "shades (posterize)",
    strength: { name: "Bits kept", min: 1, max: 7, step: 1, value: 2, parameters: (bits) => ({ bits }) },
  },
  solarize: {
    label: "bright parts (solarize)",
    strength: { name: "Threshold", min: 0, max: 255, step: 5, value: 128, parameters: (threshold) => ({ threshold }) },
  },
  noise: {
    label: "certainty (noise)",
    strength: { name: "Deviation", min: 5, max: 255, step: 5, value: 60, parameters: (sigma) => ({ sigma }) },
  },
  gray: { label: "colour (gray)" },
  invert: { label: "true colours (invert)" },
};

export function label(kind: string): string {
  return KINDS[kind]?.label ?? kind.replaceAll("_", " ");
}

export function strengthOf(kind: string): Strength | undefined {
  return KINDS[kind]?.strength;
}

export function perturbation(kind: string, strength: number): Perturbation {
  return { kind, ...strengthOf(kind)?.parameters(strength) };
}
