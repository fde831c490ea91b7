//! Data sets: examples read from and written to JSON lines and parquet.

mod arrow;
mod cell;
mod columns;
mod dataset;
mod error;
mod images;
mod json_lines;
mod parquet_file;
mod prompt;
mod sample;
mod seen;
mod write;

pub use columns::Mapping;
pub use dataset::Dataset;
pub use error::DataError;
pub use sample::{PLACEHOLDER, Picture, PictureError, Sample};
pub use write::{ImageStore, JsonLinesWriter, ParquetWriter};
