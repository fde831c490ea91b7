//! `cppo serve`: the page, exported models, and an OpenAI-compatible endpoint on localhost.

mod body;
mod chat;
mod engine;
mod error;
mod files;
mod picture;
mod reply;
mod stop;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use clap::Args;

use crate::args::ModelArgs;
use crate::failure::{Failure, about};
use crate::infer::print;
use crate::interrupt::on_interrupt;
use crate::pretrained;

use engine::Engine;

/// How long open connections may go on after Ctrl-C.
const GRACE: Duration = Duration::from_secs(3);

/// Arguments of `cppo serve`.
#[derive(Args)]
pub struct Serve {
    #[command(flatten)]
    model: ModelArgs,
    /// Folder of the built page
    #[arg(long, value_name = "FOLDER", default_value = "web/dist")]
    web: PathBuf,
    /// Folder of exported models, each a folder; the page finds them under /models/NAME/
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// Folder whose pictures requests may name by file: URLs; by default none
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// 0.0.0.0 serves the whole network
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Print the address only
    #[arg(long, short)]
    quiet: bool,
}

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    engine: Engine,
    web: Arc<PathBuf>,
    models: Arc<Option<PathBuf>>,
    images: Arc<Option<PathBuf>>,
}

impl Serve {
    pub fn run(&self) -> Result<(), Failure> {
        for folder in self.models.iter().chain(&self.images) {
            if !folder.is_dir() {
                return Err(Failure::usage(format!("{}: no such folder", folder.display())));
            }
        }
        let images = self.images.as_ref().map(|folder| folder.canonicalize()).transpose()?;
        let (loaded, device) = pretrained::load(&self.model, !self.quiet)?;
        let name = pretrained::short_name(self.model.model.as_deref().unwrap_or(""));
        if !self.quiet {
            eprintln!("{} on {} ({})", loaded.name, device.name, device.backend);
            if !self.web.join("index.html").is_file() {
                eprintln!("{}", files::unbuilt(&self.web));
            }
        }
        let stop = on_interrupt("stopping");
        let (engine, thread) = Engine::start(loaded, name, device.read_step(), stop.clone());
        let shared = Shared {
            engine,
            web: Arc::new(self.web.clone()),
            models: Arc::new(self.models.clone()),
            images: Arc::new(images),
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(self.listen(shared, stop))?;
        // Files that are still being read are abandoned.
        runtime.shutdown_timeout(GRACE);
        thread.join().map_err(|_| Failure { message: "the model's thread failed".into(), code: 1 })
    }

    async fn listen(&self, shared: Shared, stop: Arc<AtomicBool>) -> Result<(), Failure> {
        let address = SocketAddr::new(self.host, self.port);
        let listener = tokio::net::TcpListener::bind(address).await.map_err(about(address))?;
        print(&format!("http://{}\n", listener.local_addr()?));
        let router = Router::new()
            .route("/v1/chat/completions", post(chat::completions))
            .route("/v1/models", get(chat::models))
            .route("/v1/models/{*name}", get(chat::model))
            .route("/v1/{*path}", axum::routing::any(chat::unknown))
            .fallback(files::serve)
            .with_state(shared);
        let stopped = {
            let stop = stop.clone();
            async move { wait(&stop).await }
        };
        let server = axum::serve(listener, router).with_graceful_shutdown(stopped);
        tokio::select! {
            served = server => served?,
            () = async { wait(&stop).await; tokio::time::sleep(GRACE).await } => {}
        }
        Ok(())
    }
}

/// Waits for Ctrl-C.
async fn wait(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
