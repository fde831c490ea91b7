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
mod rows;
mod sample;
mod seen;
mod shared_file;
mod source;
mod table;
mod template;
mod tsv;
mod write;

pub(crate) use cell::Cell;
pub use columns::Mapping;
pub(crate) use columns::leads_into;
pub use dataset::{Dataset, Layout};
pub(crate) use error::Fault;
pub use error::{DataError, json_problem};
pub use example::{Example, ExampleError, indices};
pub(crate) use files::files;
pub(crate) use images::pictures;
pub use loader::{Loader, Skipped, skipped_metrics};
pub(crate) use prompt::messages;
pub(crate) use rows::{Place, Rows};
pub use sample::{PLACEHOLDER, Picture, PictureError, Sample};
pub use source::{Order, Source};
pub(crate) use table::{Extension, Wanted};
pub use write::{ImageStore, JsonLinesWriter, ParquetWriter};
