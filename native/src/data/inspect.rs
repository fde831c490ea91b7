//! `cppo data inspect`

use std::path::{Path, PathBuf};

use clap::Args;
use processor::Processor;
use trainer::config::DataConfig;
use trainer::data::{DataError, Dataset, Example, ExampleError, Picture};

use super::files::Reading;
use super::page;
use super::progress::Progress;
use super::sheet;
use super::survey::{Row, Survey};
use crate::failure::Failure;
use crate::infer::print;
use crate::pretrained::files;

/// Arguments of `cppo data inspect`.
#[derive(Args)]
pub struct Inspect {
    /// A .parquet or .jsonl file, or a folder of them
    #[arg(conflicts_with = "perturbations")]
    input: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
    /// Rows shown
    #[arg(long, default_value_t = 3)]
    rows: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Also write the rows shown, with their pictures, as a page
    #[arg(long, value_name = "PAGE.html", conflicts_with = "perturbations")]
    html: Option<PathBuf>,
    /// Count prompts in tokens of this model: a folder in Hugging Face layout or a hub id
    #[arg(long, short)]
    model: Option<String>,
    /// Count prompts as they stand, without CPPO's instruction to think first
    #[arg(long)]
    plain: bool,
    /// Show what each kind of perturbation does to this picture, instead of a data set
    #[arg(long, value_name = "PICTURE", requires = "out")]
    perturbations: Option<String>,
    /// Where the sheet of perturbed pictures goes
    #[arg(long, value_name = "SHEET.png", requires = "perturbations")]
    out: Option<PathBuf>,
    /// Perturbed pictures of each kind
    #[arg(long, default_value_t = 4)]
    draws: usize,
    /// Seed of the perturbations
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
}

impl Inspect {
    pub fn run(&self) -> Result<(), Failure> {
        if let (Some(picture), Some(out)) = (&self.perturbations, &self.out) {
            return sheet::write(picture, out, self.draws, self.seed);
        }
        let Some(input) = &self.input else {
            return Err(Failure::usage("name a data set, or a picture by --perturbations"));
        };
        let dataset = self.reading.open(input)?;
        let processor = match &self.model {
            Some(name) => Some(files(name, !self.quiet)?.parts()?.processor),
            None => None,
        };
        let mut survey = Survey::new(dataset.layout()?, dataset.files().count(), self.rows);
        let mut progress = Progress::new(dataset.len() as u64, self.quiet || self.json);
        for index in 0..dataset.len() {
            progress.advance()?;
            match self.row(&dataset, input, index, processor.as_ref()) {
                Ok(row) => survey.add(row),
                Err(error) => survey.faults.add(error)?,
            }
        }
        drop(progress);
        if let Some(html) = &self.html {
            page::write(html, &input.display().to_string(), &survey)?;
        }
        print(&match self.json {
            true => format!("{}\n", survey.to_json()),
            false => survey.to_text(&input.display().to_string()),
        });
        Ok(())
    }

    /// Reads a row as training does.
    fn row(
        &self,
        dataset: &Dataset,
        input: &Path,
        index: usize,
        processor: Option<&Processor>,
    ) -> Result<Row, DataError> {
        let sample = dataset.get(index)?;
        let pictures = dataset.pictures(index, &sample)?;
        let sizes = pictures.iter().map(|picture| picture.dimensions()).collect();
        let mut row = Row { index, sample, sizes, tokens: None };
        if let Some(processor) = processor {
            let config = DataConfig {
                instruction: !self.plain,
                max_prompt_tokens: usize::MAX,
                ..DataConfig::default()
            };
            let mut sample = row.sample.clone();
            sample.images = pictures.into_iter().map(Picture::Decoded).collect();
            let example =
                Example::new(sample, index, processor, &config).map_err(|error| match error {
                    ExampleError::Data(error) => error,
                    ExampleError::Processor { source, .. } => {
                        located(input, index, source.to_string())
                    }
                    other => located(input, index, other.to_string()),
                })?;
            row.tokens = Some(example.prompt.input_ids.len());
        }
        Ok(row)
    }
}

fn located(input: &Path, index: usize, message: String) -> DataError {
    DataError::Row { path: input.into(), row: format!("row {index} (from 0)"), message }
}
