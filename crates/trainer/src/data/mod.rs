//! Data sets: examples read from and written to JSON lines and parquet, those of the gym, and what
//! the policy takes of them.

mod ahead;
mod arrow;
mod cell;
mod columns;
mod dataset;
mod error;
mod example;
mod files;
mod images;
mod json_lines;
mod loader;
mod parquet_file;
mod prompt;
mod sample;
mod seen;
mod source;
mod write;

pub use columns::Mapping;
pub use dataset::{Dataset, Layout};
pub use error::DataError;
pub use example::{Example, ExampleError};
pub use loader::{Loader, Skipped, skipped_metrics};
pub use sample::{PLACEHOLDER, Picture, PictureError, Sample};
pub use source::{Order, Source};
pub use write::{ImageStore, JsonLinesWriter, ParquetWriter};
