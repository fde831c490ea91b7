//! Tests of the whole product, from the repository alone.

mod cache;
mod commands;
mod extra;
mod gradient;
mod hub;
mod objective;
mod parity;
mod reference;
mod train;
mod weights;
