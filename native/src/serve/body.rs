//! A response's body that is written while it is sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body::Frame;
use tokio::sync::mpsc::{self, Receiver, Sender};

/// The reading end of a channel as a body; it is dropped when the client goes away.
struct Channel(Receiver<io::Result<Bytes>>);

impl HttpBody for Channel {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| bytes.map(Frame::data)))
    }
}

/// A body and what writes to it; an error cuts the connection, so that the client notices.
pub fn channel() -> (Sender<io::Result<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(4);
    (sender, Body::new(Channel(receiver)))
}
