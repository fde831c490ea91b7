//! Data sets as files: how they are read and written.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use trainer::data::{
    DataError, Dataset, ImageStore, JsonLinesWriter, Mapping, ParquetWriter, Sample,
};

/// Where a data set of unknown layout keeps what.
#[derive(Args)]
pub struct Reading {
    /// Column of the question or conversation; a dot leads into a struct: extra_info.question
    #[arg(long, value_name = "COLUMN")]
    prompt_key: Option<String>,
    /// Column of the pictures
    #[arg(long, value_name = "COLUMN")]
    image_key: Option<String>,
    /// Column of the right answer
    #[arg(long, value_name = "COLUMN")]
    answer_key: Option<String>,
    /// Column of a worked response
    #[arg(long, value_name = "COLUMN")]
    response_key: Option<String>,
    /// The question as a Jinja template makes it of {{ content }}, what the prompt's column holds, and
    /// of other columns by their names
    #[arg(long, value_name = "TEMPLATE")]
    prompt_template: Option<String>,
    /// Where relative picture paths start; by default at the data file
    #[arg(long, value_name = "FOLDER")]
    image_dir: Option<PathBuf>,
}

impl Reading {
    /// Opens a file or a folder of files.
    pub fn open(&self, path: &Path) -> Result<Dataset, DataError> {
        let mapping = Mapping {
            prompt_key: self.prompt_key.clone(),
            image_key: self.image_key.clone(),
            answer_key: self.answer_key.clone(),
            response_key: self.response_key.clone(),
            prompt_template: self.prompt_template.clone(),
        };
        Dataset::open(path, &mapping, self.image_dir.as_deref())
    }
}

/// Form of a data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Parquet,
    Jsonl,
}

impl Format {
    /// The form that a file's name says.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "parquet" => Some(Self::Parquet),
            "jsonl" | "json" => Some(Self::Jsonl),
            _ => None,
        }
    }

    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Jsonl => "jsonl",
        }
    }
}

/// Where the pictures of JSON lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Images {
    /// Into the lines, in base64
    Inline,
    /// Into the folder NAME_images beside NAME.jsonl
    Beside,
}

/// A data file while it is written; dropped before [`Writer::finish`] it leaves nothing.
pub enum Writer {
    Parquet(Box<ParquetWriter>),
    JsonLines(JsonLinesWriter),
}

impl Writer {
    pub fn create(path: &Path, format: Format, images: Images) -> Result<Self, DataError> {
        let store = match images {
            Images::Inline => ImageStore::Inline,
            Images::Beside => ImageStore::Beside,
        };
        Ok(match format {
            Format::Parquet => Self::Parquet(Box::new(ParquetWriter::create(path)?)),
            Format::Jsonl => Self::JsonLines(JsonLinesWriter::create(path, store)?),
        })
    }

    pub fn write(&mut self, sample: &Sample) -> Result<(), DataError> {
        match self {
            Self::Parquet(writer) => writer.write(sample),
            Self::JsonLines(writer) => writer.write(sample),
        }
    }

    pub fn finish(self) -> Result<(), DataError> {
        match self {
            Self::Parquet(writer) => writer.finish(),
            Self::JsonLines(writer) => writer.finish(),
        }
    }
}
