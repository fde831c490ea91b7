//! How good a model is: on validation examples during training, and on benchmarks.
//!
//! Data walks one way: question → prompt → responses → verdicts → aggregates → report.

mod error;
mod program;
mod responses;
mod results;
mod run;
mod settings;
mod validation;

pub use error::EvaluateError;
pub use program::ProgramReport;
pub use responses::{Record, Responses};
pub use results::{Compared, LeftOut, Results, Scored, Timing, compare};
pub use run::{check, evaluate};
pub use settings::{Adapter, Settings, write};
pub use validation::Validation;
