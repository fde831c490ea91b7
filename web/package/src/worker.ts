/** The worker's script. */

import { serve } from "./host.js";
import { LocalBackend } from "./local.js";
import type { FromWorker, ToWorker } from "./protocol.js";

const answer = serve(new LocalBackend(), (message: FromWorker) => postMessage(message));
addEventListener("message", (event: MessageEvent<ToWorker>) => void answer(event.data));
