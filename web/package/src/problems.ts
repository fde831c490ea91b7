/** What speaks against running a model in this browser. */

import type { Manifest } from "./types.js";

export interface AdapterInfo {
  description: string;
  /** Whether it is a program that plays a graphics card. */
  software: boolean;
  f16: boolean;
  maxBufferBytes: number;
}

export interface Probe {
  manifest: Manifest;
  needs: {
    downloadBytes: number;
    deviceBytes: number;
    largestBufferBytes: number;
  };
  has: {
    /** Of the download, what is in this browser's cache. */
    cachedBytes: number;
    webgpu: boolean;
    adapter?: AdapterInfo;
    /** Room left to this site. */
    storageBytes?: number;
    /** The device's memory as the browser tells it, at most 8 GiB (or 32, by browser). */
    memoryBytes?: number;
    secureContext: boolean;
  };
  /** What the device `auto` comes to. */
  device: "webgpu" | "cpu";
  /** What speaks against it, in sentences. */
  problems: string[];
}

/** Says what is missing. */
export function problemsOf({ needs, has, device }: Omit<Probe, "problems">): string[] {
  const problems: string[] = [];
  if (!has.secureContext) {
    problems.push("This page is not served over HTTPS or from localhost, so the browser offers neither WebGPU nor a cache.");
  } else if (!has.adapter) {
    problems.push(
      "This browser offers no WebGPU adapter, so the model runs on the processor, which is slower. " +
        "Chrome and Edge have WebGPU since 113, Safari since 26, Firefox since 141; hardware acceleration must be on.",
    );
  } else if (has.adapter.software) {
    problems.push("WebGPU is emulated in software here; the processor is faster, and is used unless WebGPU is chosen.");
  }
  if (device === "webgpu" && has.adapter && needs.largestBufferBytes > has.adapter.maxBufferBytes) {
    problems.push("The model has a buffer larger than this adapter allows.");
  }
  if (has.memoryBytes !== undefined && needs.deviceBytes > has.memoryBytes) {
    problems.push("The model needs more memory than this device seems to have.");
  }
  const missing = needs.downloadBytes - has.cachedBytes;
  if (has.storageBytes !== undefined && missing > has.storageBytes) {
    problems.push("This browser has too little room to keep the model; it would be downloaded each time.");
  }
  return problems;
}
