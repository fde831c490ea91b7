//! Which questions are asked.

use std::path::{Path, PathBuf};

use clap::Args;
use evaluation::Question;
use evaluation::benchmark::{Benchmark, find};
use trainer::benchmark::Questions;
use trainer::config::load;
use trainer::data::Mapping;
use trainer::evaluate::EvaluateError;

use crate::data::faults::Faults;
use crate::failure::Failure;

/// Test pictures of the gym, unless `--limit` says otherwise.
const GYM_QUESTIONS: usize = 512;

#[derive(Args)]
pub struct QuestionArgs {
    /// mathvista, mathverse, mathvision, wemath, logicvista, dynamath, mmmu-pro, geometry3k or gym
    #[arg(long)]
    benchmark: Option<String>,
    /// Its files: the hub's parquet or VLMEvalKit's .tsv; without --benchmark any data set that
    /// `cppo train` reads; default the perception gym's test pictures
    #[arg(long, value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// Names of columns: prompt_key, image_key or answer_key, as in answer_key=solution
    #[arg(long, value_name = "KEY=COLUMN")]
    mapping: Vec<String>,
    /// Where relative paths of pictures begin; default at the file
    #[arg(long, value_name = "FOLDER")]
    image_dir: Option<PathBuf>,
    /// Ask the first so many questions only
    #[arg(long)]
    limit: Option<usize>,
}

/// The questions; their pictures are read again when they are asked.
pub struct Read {
    pub questions: Questions,
    pub judged: Vec<Question>,
    pub texts: Vec<String>,
    /// Names of their data sets.
    pub sources: Vec<String>,
    pub checksum: u32,
    /// Rows that were left out.
    pub faults: Faults,
}

/// Whether a question can be asked.
pub type Check<'a> = &'a dyn Fn(&Questions, usize) -> Result<(), EvaluateError>;

impl QuestionArgs {
    /// Reads every question, so that a damaged one is found before the model starts; with a
    /// `check`, those that fail it or cannot be read are left out and counted.
    pub fn read(&self, check: Option<Check>) -> Result<Read, Failure> {
        let mut questions = self.open()?;
        if let Some(limit) = self.limit {
            questions.truncate(limit);
        }
        if questions.is_empty() {
            return Err(Failure::usage("there are no questions; check --data and --limit"));
        }
        let (mut judged, mut texts, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        let (mut kept, mut faults, mut checksum) = (Vec::new(), Faults::default(), 0);
        for index in 0..questions.len() {
            let checked = check.map_or(Ok(()), |check| check(&questions, index));
            let item = match checked.and_then(|()| Ok(questions.get(index)?)) {
                Ok(item) => item,
                Err(EvaluateError::Data(error)) if check.is_some() => {
                    faults.add(error)?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            kept.push(index);
            checksum = item.checksum(checksum);
            texts.push(item.text());
            sources.push(item.sample.source);
            judged.push(item.question);
        }
        if kept.is_empty() {
            let reasons = faults.left_out();
            let first = reasons.first().map(|out| format!("{}, {}", out.first, out.reason));
            let message = format!("no question can be used: {}", first.unwrap_or_default());
            return Err(Failure { message, code: 1 });
        }
        questions.keep(kept);
        Ok(Read { questions, judged, texts, sources, checksum, faults })
    }

    fn open(&self) -> Result<Questions, Failure> {
        let benchmark = self.benchmark.as_deref().map(find).transpose().map_err(Failure::usage)?;
        let mapping: Mapping = load(None, None, &self.mapping).map_err(Failure::usage)?;
        let gym = |benchmark: &'static Benchmark| {
            Questions::gym(benchmark, self.limit.unwrap_or(GYM_QUESTIONS))
        };
        match (benchmark, self.data.is_empty()) {
            (Some(benchmark), true) if benchmark.name == "gym" => Ok(gym(benchmark)),
            (None, true) => Ok(gym(find("gym").map_err(Failure::usage)?)),
            (Some(benchmark), true) => Err(Failure::usage(format!(
                "{} is read from files: name them with --data, the hub's parquet or VLMEvalKit's \
                 .tsv",
                benchmark.name
            ))),
            (Some(benchmark), false) if benchmark.name == "gym" => Err(Failure::usage(
                "the gym is drawn, not read: leave out --data, or leave out --benchmark",
            )),
            (benchmark, false) => {
                let paths: Vec<&Path> = self.data.iter().map(PathBuf::as_path).collect();
                Ok(Questions::open(benchmark, &paths, &mapping, self.image_dir.as_deref())?)
            }
        }
    }
}
