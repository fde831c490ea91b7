//! Tests of the whole product, from the repository alone.

mod cache;
mod gradient;
mod parity;
mod reference;
mod weights;
