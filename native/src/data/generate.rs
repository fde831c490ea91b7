//! `cppo data generate`

use std::path::{Path, PathBuf};

use clap::Args;
use gym::{Difficulty, Family, Gym, Split};
use processor::{Content, INSTRUCTION};
use trainer::data::Sample;

use super::files::{Format, Images, Writer};
use super::progress::Progress;
use crate::failure::Failure;
use crate::infer::print;

/// Arguments of `cppo data generate`.
#[derive(Args)]
pub struct Generate {
    /// Folder for train, validation and test; with --split also a .parquet or .jsonl file
    #[arg(long, short, value_name = "FOLDER|FILE")]
    out: PathBuf,
    /// Write one split only: train, validation or test; they share no scene
    #[arg(long)]
    split: Option<Split>,
    /// Items of each split
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    items: u64,
    /// Kinds of questions, taken in turn: count_color,color_at,…; default all
    #[arg(long, value_delimiter = ',')]
    families: Vec<Family>,
    /// easy, standard or hard
    #[arg(long, default_value_t)]
    difficulty: Difficulty,
    /// Another seed gives other items, the same seed the same bytes
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Default parquet, or as the name of the file says
    #[arg(long)]
    format: Option<Format>,
    /// Where the pictures of JSON lines go
    #[arg(long, default_value = "inline")]
    images: Images,
    /// Append CPPO's instruction to think first and to box the answer
    #[arg(long)]
    instruction: bool,
    /// No progress, only errors
    #[arg(long, short)]
    quiet: bool,
}

impl Generate {
    pub fn run(&self) -> Result<(), Failure> {
        let files = self.files()?;
        let gym =
            Gym { families: self.families.clone(), difficulty: self.difficulty, seed: self.seed };
        let mut progress = Progress::new(self.items.saturating_mul(files.len() as u64), self.quiet);
        for (split, path, format) in &files {
            let mut writer = Writer::create(path, *format, self.images)?;
            for index in 0..self.items {
                progress.advance()?;
                writer.write(&self.sample(gym.item(*split, index)))?;
            }
            writer.finish()?;
            if !self.quiet {
                print(&format!("{}: {} rows\n", path.display(), self.items));
            }
        }
        Ok(())
    }

    /// The files to write, with their splits.
    fn files(&self) -> Result<Vec<(Split, PathBuf, Format)>, Failure> {
        let named = if self.out.is_dir() { None } else { Format::of(&self.out) };
        match (self.split, named, self.format) {
            (Some(_), Some(named), Some(format)) if named != format => {
                Err(Failure::usage(format!(
                    "--out {} and --format {} disagree",
                    self.out.display(),
                    format.extension()
                )))
            }
            (Some(split), Some(named), _) => Ok(vec![(split, self.out.clone(), named)]),
            (None, Some(_), _) => Err(Failure::usage(format!(
                "--out {} is one file; name a folder, or the split to write by --split",
                self.out.display()
            ))),
            (split, None, format) => {
                let format = format.unwrap_or(Format::Parquet);
                let splits = split.map_or(Split::ALL.to_vec(), |split| vec![split]);
                let file = |split: Split| (split, file_of(&self.out, split, format), format);
                Ok(splits.into_iter().map(file).collect())
            }
        }
    }

    fn sample(&self, item: gym::Item) -> Sample {
        let mut sample = Sample::from(item);
        if self.instruction {
            let parts = sample.prompt.iter_mut().flat_map(|message| &mut message.content);
            for part in parts {
                if let Content::Text { text } = part {
                    *text = format!("{text} {INSTRUCTION}");
                }
            }
        }
        sample
    }
}

fn file_of(folder: &Path, split: Split, format: Format) -> PathBuf {
    folder.join(format!("{split}.{}", format.extension()))
}
