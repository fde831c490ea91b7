//! `cppo data convert`

use std::path::PathBuf;

use clap::Args;
use trainer::data::{DataError, Dataset, Sample};

use super::faults::Faults;
use super::files::{Format, Images, Reading, Writer};
use super::progress::Progress;
use crate::failure::Failure;
use crate::infer::print;

/// Arguments of `cppo data convert`.
#[derive(Args)]
pub struct Convert {
    /// A .parquet or .jsonl file, or a folder of them
    input: PathBuf,
    /// The .parquet or .jsonl file to write
    output: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Leave out rows that cannot be read, and say why
    #[arg(long)]
    skip_bad: bool,
    /// Where the pictures of JSON lines go
    #[arg(long, default_value = "inline")]
    images: Images,
    /// No progress, only errors
    #[arg(long, short)]
    quiet: bool,
}

impl Convert {
    pub fn run(&self) -> Result<(), Failure> {
        let format = Format::of(&self.output).ok_or_else(|| {
            let output = self.output.display();
            Failure::usage(format!("{output}: neither .parquet nor .jsonl; name one of these"))
        })?;
        let dataset = self.reading.open(&self.input)?;
        let mut writer = Writer::create(&self.output, format, self.images)?;
        let mut progress = Progress::new(dataset.len() as u64, self.quiet);
        let mut faults = Faults::default();
        for index in 0..dataset.len() {
            progress.advance()?;
            match whole(&dataset, index) {
                Ok(sample) => writer.write(&sample)?,
                Err(error) if self.skip_bad => faults.add(error)?,
                Err(error) => return Err(error.into()),
            }
        }
        drop(progress);
        let (rows, left_out) = (dataset.len() as u64, faults.count());
        if rows > 0 && left_out == rows {
            let (input, listing) = (self.input.display(), faults.listing());
            let why = listing.lines().next().unwrap_or_default().trim();
            return Err(Failure {
                message: format!("{input}: no row can be read: {why}"),
                code: 1,
            });
        }
        writer.finish()?;
        if !self.quiet {
            print(&format!("{}: {} rows\n", self.output.display(), rows - left_out));
            if left_out > 0 {
                print(&format!("left out {left_out} rows:\n{}", faults.listing()));
            }
        }
        Ok(())
    }
}

/// A row whose pictures can be decoded.
fn whole(dataset: &Dataset, index: usize) -> Result<Sample, DataError> {
    let sample = dataset.get(index)?;
    dataset.pictures(index, &sample)?;
    Ok(sample)
}
