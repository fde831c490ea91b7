/** A picture from the camera. */

import { byId } from "./dom.js";

/** Shows the camera until a picture is taken or the reader closes it. */
export async function takePicture(): Promise<Blob | undefined> {
  const dialog = byId<HTMLDialogElement>("camera-dialog");
  const video = byId<HTMLVideoElement>("video");
  const snap = byId<HTMLButtonElement>("snap");
  const failure = byId("camera-error");
  failure.hidden = true;
  snap.disabled = true;
  dialog.showModal();
  const closed = new Promise<void>((resolve) => dialog.addEventListener("close", () => resolve(), { once: true }));
  byId("camera-close").onclick = () => dialog.close();
  let stream: MediaStream | undefined;
  let taken: Blob | undefined;
  try {
    if (!navigator.mediaDevices) throw new Error("no camera without a secure connection");
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    video.srcObject = stream;
    await video.play();
    snap.disabled = false;
    snap.onclick = async () => {
      const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
      canvas.getContext("2d")!.drawImage(video, 0, 0);
      taken = await canvas.convertToBlob({ type: "image/png" });
      dialog.close();
    };
  } catch (error) {
    failure.hidden = false;
    failure.textContent = `The camera cannot be used: ${(error as Error).message}`;
  }
  await closed;
  stream?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  return taken;
}
