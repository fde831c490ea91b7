//! Errors as JavaScript sees them: `CppoError` with a `code` that programs can tell apart.

use generation::GenerateError;
use js_sys::{Error, Reflect};
use perceive::PerceiveError;
use processor::ProcessorError;
use qwen2_5_vl::WeightsError;
use session::{PartsError, SessionError};
use wasm_bindgen::JsValue;

/// What kind of error, and what to tell.
pub struct Failure {
    code: &'static str,
    message: String,
}

impl Failure {
    pub fn new(code: &'static str, message: impl ToString) -> Self {
        Self { code, message: message.to_string() }
    }

    pub fn request(message: impl ToString) -> Self {
        Self::new("bad-request", message)
    }

    pub fn of_generation(error: impl Into<GenerateError>) -> Self {
        SessionError::from(error.into()).into()
    }

    pub fn model(message: impl ToString) -> Self {
        Self::new("bad-model", message)
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        let error = Error::new(&failure.message);
        error.set_name("CppoError");
        // An ordinary object takes any property.
        let _ = Reflect::set(&error, &"code".into(), &failure.code.into());
        error.into()
    }
}

impl From<ProcessorError> for Failure {
    fn from(error: ProcessorError) -> Self {
        let code = match error {
            ProcessorError::UnknownFormat
            | ProcessorError::Decode { .. }
            | ProcessorError::TooLarge { .. }
            | ProcessorError::EmptyPicture { .. }
            | ProcessorError::AspectRatio { .. } => "bad-image",
            ProcessorError::File { .. }
            | ProcessorError::Preprocessor { .. }
            | ProcessorError::MissingToken { .. } => "bad-model",
            _ => "bad-request",
        };
        Self::new(code, error)
    }
}

impl From<PartsError> for Failure {
    fn from(error: PartsError) -> Self {
        Self::model(error)
    }
}

impl From<WeightsError> for Failure {
    fn from(error: WeightsError) -> Self {
        Self::model(error)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Processor(error)
            | SessionError::Perceive(PerceiveError::Processor(error)) => error.into(),
            SessionError::Generate(GenerateError::Device(_))
            | SessionError::Perceive(PerceiveError::Device(_)) => Self::new("device-lost", error),
            SessionError::Perceive(PerceiveError::Cancelled) => Self::new("aborted", error),
            error => Self::request(error),
        }
    }
}

impl From<serde_wasm_bindgen::Error> for Failure {
    fn from(error: serde_wasm_bindgen::Error) -> Self {
        Self::request(error)
    }
}
