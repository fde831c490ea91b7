//! From a sample to what the policy takes.

use cppo::AlgorithmConfig;
use cppo::perturbation::{Seed, View};
use image::RgbImage;
use processor::{Content, INSTRUCTION, Message, Processor, ProcessorError};
use qwen2_5_vl::Prompt;

use super::{DataError, PictureError, Sample};
use crate::config::{DataConfig, Overlong, Unreadable};

/// A sample ready for the model.
#[derive(Clone, Debug)]
pub struct Example {
    /// Number in its source.
    pub index: usize,
    /// Ids and pixels.
    pub prompt: Prompt,
    /// The pictures, decoded.
    pub pictures: Vec<RgbImage>,
    /// The question, as text.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// A worked response.
    pub response: Option<String>,
    /// Byte spans of `response` that name something seen.
    pub seen: Vec<std::ops::Range<usize>>,
    /// Name of the data set.
    pub source: String,
}

/// Why a sample is left out.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ExampleError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("{place}: {source}")]
    Picture { place: String, source: PictureError },
    #[error("{place}: {source}")]
    Processor { place: String, source: ProcessorError },
    #[error(
        "{place}: the prompt has {tokens} tokens, data.max_prompt_tokens is {limit}; raise \
         it, or choose what happens by data.overlong"
    )]
    Overlong { place: String, tokens: usize, limit: usize },
    #[error("{place}: preparing it failed unexpectedly ({message}); remove the row, and report it")]
    Panicked { place: String, message: String },
}

impl ExampleError {
    /// Names the example by its place, such as file and line, instead of its number.
    pub(crate) fn at(mut self, named: impl FnOnce() -> String) -> Self {
        match &mut self {
            Self::Data(_) => {}
            Self::Picture { place, .. }
            | Self::Processor { place, .. }
            | Self::Overlong { place, .. }
            | Self::Panicked { place, .. } => *place = named(),
        }
        self
    }

    /// Whether the configuration leaves such examples out instead of ending the run.
    pub fn may_be_skipped(&self, config: &DataConfig) -> bool {
        match self {
            Self::Overlong { .. } => config.overlong != Overlong::Error,
            Self::Panicked { .. } => false,
            _ => config.unreadable != Unreadable::Error,
        }
    }

    /// A short name of the reason, to count by.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Data(_) => "unreadable",
            Self::Picture { .. } => "picture",
            Self::Processor { .. } => "unprocessable",
            Self::Overlong { .. } => "overlong",
            Self::Panicked { .. } => "panicked",
        }
    }
}

/// What an example is called whose place is not known.
pub(super) fn numbered(index: usize) -> String {
    format!("example {index}")
}

/// The numbers of examples in their source.
pub fn indices(examples: &[Example]) -> Vec<usize> {
    examples.iter().map(|example| example.index).collect()
}

impl Example {
    /// Decodes and encodes a sample.
    ///
    /// # Errors
    ///
    /// When a picture cannot be decoded, or the prompt is too long for `data.max_prompt_tokens`.
    pub fn new(
        sample: Sample,
        index: usize,
        processor: &Processor,
        config: &DataConfig,
    ) -> Result<Self, ExampleError> {
        let pictures = sample
            .images
            .iter()
            .map(|picture| picture.decode())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| ExampleError::Picture { place: numbered(index), source })?;
        let failed = |source| ExampleError::Processor { place: numbered(index), source };
        let patches = pictures
            .iter()
            .map(|picture| processor.image_processor.preprocess(picture))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        let encode = |messages: &[Message]| {
            let messages = match config.instruction {
                true => instructed(messages),
                false => messages.to_vec(),
            };
            processor.encode_patches(&messages, &patches).map_err(failed)
        };
        let mut messages = sample.prompt;
        let mut input = encode(&messages)?;
        let limit = config.max_prompt_tokens;
        while input.input_ids.len() > limit {
            let tokens = input.input_ids.len();
            let shortened = config.overlong == Overlong::Truncate
                && shorten(&mut messages, tokens - limit, processor);
            if !shortened {
                return Err(ExampleError::Overlong { place: numbered(index), tokens, limit });
            }
            input = encode(&messages)?;
        }
        Ok(Self {
            index,
            prompt: Prompt {
                input_ids: input.input_ids,
                pixel_values: input.pixel_values,
                image_grid_thw: input.image_grid_thw,
                ..Default::default()
            },
            pictures,
            question: question(&messages),
            answer: sample.answer,
            response: sample.response,
            seen: sample.seen,
            source: sample.source,
        })
    }

    /// The prompt with its pictures under a perturbation.
    ///
    /// # Errors
    ///
    /// When the perturbed pictures cannot be processed.
    pub fn view(
        &self,
        view: View,
        seed: Seed,
        processor: &Processor,
        algorithm: &AlgorithmConfig,
    ) -> Result<Prompt, ProcessorError> {
        let pictures = algorithm.cpl.perturbations().perturb(view, &self.pictures, seed);
        self.with_pictures(&pictures, processor)
    }

    /// The prompt with other pictures of the same sizes.
    ///
    /// # Errors
    ///
    /// When they cannot be processed.
    pub fn with_pictures(
        &self,
        pictures: &[RgbImage],
        processor: &Processor,
    ) -> Result<Prompt, ProcessorError> {
        let mut prompt = self.prompt.clone();
        prompt.pixel_values.clear();
        prompt.image_grid_thw.clear();
        for picture in pictures {
            let patches = processor.image_processor.preprocess(picture)?;
            prompt.pixel_values.extend(patches.values);
            prompt.image_grid_thw.push(patches.grid_thw);
        }
        Ok(prompt)
    }
}

/// The last text of the user's turn.
fn last_text(messages: &mut [Message]) -> Option<&mut String> {
    messages.iter_mut().rev().filter(|message| message.role == "user").find_map(|message| {
        message.content.iter_mut().rev().find_map(|part| match part {
            Content::Text { text } => Some(text),
            _ => None,
        })
    })
}

fn instructed(messages: &[Message]) -> Vec<Message> {
    let mut messages = messages.to_vec();
    if let Some(text) = last_text(&mut messages).filter(|text| !text.contains(INSTRUCTION)) {
        *text = format!("{text} {INSTRUCTION}");
    }
    messages
}

fn question(messages: &[Message]) -> String {
    last_text(&mut messages.to_vec()).cloned().unwrap_or_default()
}

/// Takes tokens off the end of the question; false where it has none left to give.
fn shorten(messages: &mut [Message], excess: usize, processor: &Processor) -> bool {
    let Some(text) = last_text(messages).filter(|text| !text.is_empty()) else { return false };
    let Ok(ids) = processor.tokenizer.encode(text) else { return false };
    let kept = processor.tokenizer.decode(&ids[..ids.len().saturating_sub(excess)], false);
    // A cut inside a character leaves a replacement mark, which may not be shorter.
    let kept = kept.trim_end_matches('\u{fffd}');
    let shorter = kept.len() < text.len();
    *text = kept.to_string();
    shorter
}
