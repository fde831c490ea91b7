//! Tests of the whole product, from the repository alone.

mod bad_data;
mod cache;
mod commands;
mod data;
mod export;
mod extra;
mod gradient;
mod hub;
mod lora;
mod lora_run;
mod objective;
mod parity;
mod reference;
mod score;
mod serve;
mod train;
mod weights;
