//! Tests of the whole product, from the repository alone.

mod bad_data;
mod cache;
mod commands;
mod data;
mod encoded;
mod eval;
mod eval_export;
mod eval_files;
mod eval_rows;
mod export;
mod extra;
mod gradient;
mod hub;
mod large;
mod layouts;
mod loader;
mod lora;
mod lora_run;
#[cfg(feature = "mpi")]
mod mpi;
mod objective;
mod parity;
mod ranks;
mod reference;
mod score;
mod serve;
mod train;
mod weights;
