//! Tests of the whole product, from the repository alone.

mod cache;
mod commands;
mod extra;
mod gradient;
mod hub;
mod parity;
mod reference;
mod weights;
