//! Arguments that several commands share.

use std::io::Read;
use std::path::PathBuf;

use burn::tensor::{DType, Device};
use clap::{Args, ValueEnum};

use crate::device::{DeviceChoice, Opened};
use crate::failure::{Failure, about};

/// Which model to load, and where.
#[derive(Args)]
pub struct ModelArgs {
    /// Folder in Hugging Face layout, or hub id such as Qwen/Qwen2.5-VL-3B-Instruct; by default
    /// the small demo model that reads coloured shapes
    #[arg(long, short)]
    pub model: Option<String>,
    /// Folder of an adapter in PEFT's format to put on the model
    #[arg(long, value_name = "FOLDER")]
    pub adapter: Option<PathBuf>,
    /// auto, cpu, wgpu, vulkan, metal or cuda, and which one of several: cuda:1
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// Number format of weights and computation
    #[arg(long, default_value = "f32")]
    pub dtype: Dtype,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Dtype {
    F32,
    F16,
    Bf16,
}

impl From<Dtype> for DType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::Bf16 => Self::BF16,
        }
    }
}

impl ModelArgs {
    /// Opens the device and checks that it computes in the chosen format.
    pub fn open_device(&self) -> Result<Opened, Failure> {
        let opened = self.device.open()?;
        let dtype = DType::from(self.dtype);
        if !supports(&opened.device, dtype) {
            return Err(Failure::usage(format!(
                "device {} does not compute in {:?}; use --dtype f32",
                opened.name, self.dtype
            )));
        }
        Ok(opened)
    }
}

/// Whether a device computes in a float format.
pub fn supports(device: &Device, dtype: DType) -> bool {
    device.supports_dtype(dtype)
}

/// Longest question read from standard input, in bytes; no model takes as much.
const MAX_QUESTION_BYTES: u64 = 64 << 20;

/// The question of a command; `-` is what standard input holds, where it holds none of `images`.
pub fn question(argument: &str, images: &[String]) -> Result<String, Failure> {
    let inputs = images.iter().map(String::as_str).chain([argument]);
    if inputs.filter(|input| *input == "-").count() > 1 {
        return Err(Failure::usage(
            "standard input holds one picture or question; - was given twice",
        ));
    }
    let mut question = argument.to_string();
    if argument == "-" {
        question.clear();
        let mut input = std::io::stdin().take(MAX_QUESTION_BYTES);
        input.read_to_string(&mut question).map_err(about("standard input"))?;
    }
    match question.trim().is_empty() {
        true => Err(Failure::usage("the question is empty")),
        false => Ok(question),
    }
}
