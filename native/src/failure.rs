//! How a command fails: one line on stderr and an exit code.

use std::fmt::Display;

use session::SessionError;

/// An error ready to be shown.
#[derive(Debug)]
pub struct Failure {
    /// Empty where another process says it.
    pub message: String,
    /// 2 for wrong usage, 1 for everything else.
    pub code: i32,
}

impl Failure {
    pub fn usage(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    /// A request that the model cannot take is wrong usage.
    pub fn of_session(error: SessionError) -> Self {
        match error {
            SessionError::Request(message) => Self::usage(message),
            other => other.into(),
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { message: error.to_string(), code: 1 }
    }
}

/// Puts the name of what failed before the message.
pub fn about<E: Display>(what: impl Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure { message: format!("{what}: {error}"), code: 1 }
}
