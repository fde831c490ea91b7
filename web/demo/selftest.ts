/** Whether this browser computes what the native binary does. */

import { CppoError, type Model } from "cppo-web";
import { byId } from "./dom.js";

export async function runSelftest(model: Model): Promise<void> {
  const panel = byId("selftest");
  const text = byId("selftest-text");
  panel.hidden = false;
  panel.scrollIntoView({ block: "nearest" });
  text.textContent = "Computing the fixed case…";
  delete panel.dataset.passed;
  try {
    const { tokens, agree, maxLogprobDifference, passed } = await model.selftest();
    panel.dataset.passed = String(passed);
    text.textContent =
      `${passed ? "Passed" : "Failed"}: ${agree} of ${tokens} tokens are the native binary's, ` +
      `log-probabilities differ by at most ${maxLogprobDifference.toExponential(1)}, ` +
      `on ${model.device.backend === "webgpu" ? "WebGPU" : "the processor"} ${model.device.adapter}.`;
  } catch (error) {
    const failure = error as CppoError;
    panel.dataset.passed = "false";
    text.textContent = `Failed: ${failure.message}. ${failure.hint}`;
  }
}
