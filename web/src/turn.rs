//! Turns of the browser's event loop.

use js_sys::Promise;
use wasm_bindgen_futures::JsFuture;
use web_sys::{MessageChannel, MessagePort};

/// Lets the event loop turn once, so that an abort can arrive and a page can draw.
///
/// A message to oneself, because timers wait four milliseconds and promises do not turn the loop.
pub struct Turns {
    here: MessagePort,
    there: MessagePort,
}

impl Turns {
    pub fn new() -> Option<Self> {
        let channel = MessageChannel::new().ok()?;
        Some(Self { here: channel.port1(), there: channel.port2() })
    }

    pub async fn turn(&self) {
        let arrived = Promise::new(&mut |resolve, _| {
            self.here.set_onmessage(Some(&resolve));
            // Sending nothing cannot fail.
            let _ = self.there.post_message(&wasm_bindgen::JsValue::NULL);
        });
        let _ = JsFuture::from(arrived).await;
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        // An open port keeps its worker alive.
        self.here.close();
        self.there.close();
    }
}
