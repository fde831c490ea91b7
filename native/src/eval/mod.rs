//! `cppo eval`

mod compare;
mod export;
mod questions;
mod report;
mod table;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use burn::tensor::DType;
use clap::{Args, Subcommand};
use cppo::reward::Grader;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use trainer::collective::Single;
use trainer::config::Unreadable;
use trainer::evaluate::{
    Adapter, ProgramReport, Responses, Results, Settings, Timing, check, evaluate, write,
};
use trainer::hooks::Hooks;

use crate::args::ModelArgs;
use crate::failure::Failure;
use crate::infer::print;
use crate::interrupt::on_interrupt;
use crate::pretrained::{self, Named};
use crate::reward_program::ProgramArgs;
use questions::{QuestionArgs, Read};

/// Arguments of `cppo eval`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Eval {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    arguments: Arguments,
}

#[derive(Subcommand)]
enum Command {
    /// Say whether two models differ on the same questions: two folders of `cppo eval --out`
    Compare(compare::Compare),
}

#[derive(Args)]
struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    questions: QuestionArgs,
    /// Responses to each question
    #[arg(long, default_value_t = 8, value_parser = positive)]
    n: usize,
    /// 0 takes the likeliest token; default 0 for one response and 1 for several
    #[arg(long)]
    temperature: Option<f64>,
    /// Draw among the k likeliest tokens
    #[arg(long)]
    top_k: Option<usize>,
    /// Draw among the likeliest tokens that reach this probability
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// Leave out tokens less likely than this share of the likeliest
    #[arg(long, default_value_t = 0.0)]
    min_p: f64,
    /// Make tokens that already occurred less likely
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f64,
    /// Longest response, in tokens
    #[arg(long, default_value_t = 1024, value_parser = positive)]
    max_new_tokens: usize,
    /// Seed of the draws and of the intervals
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Who judges free answers: exact, by meaning, or mathruler, as training does
    #[arg(long, default_value = "exact")]
    grader: Grader,
    #[command(flatten)]
    program: ProgramArgs,
    /// What happens to questions that cannot be read or asked: error ends, skip leaves them out and
    /// lists them by reason
    #[arg(long, default_value = "error", value_parser = unreadable)]
    unreadable: Unreadable,
    /// Ask the questions as they stand, without CPPO's instruction to think first
    #[arg(long)]
    plain: bool,
    /// Responses decoded together; changes the speed only
    #[arg(long, default_value_t = 64, value_parser = positive)]
    batch: usize,
    /// Folder for responses, results and a report; the same command goes on where it stopped
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Also write the responses as VLMEvalKit does, for a judge elsewhere; several responses go to
    /// FILE_0.tsv, FILE_1.tsv, …
    #[arg(long, value_name = "FILE.tsv")]
    export_vlmevalkit: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a whole number, 1 or more".into()),
        Ok(number) => Ok(number),
    }
}

fn unreadable(text: &str) -> Result<Unreadable, String> {
    match text {
        "error" => Ok(Unreadable::Error),
        "skip" => Ok(Unreadable::Skip),
        _ => Err("must be error or skip".into()),
    }
}

impl Eval {
    pub fn run(&self) -> Result<(), Failure> {
        match &self.command {
            Some(Command::Compare(command)) => command.run(),
            None => self.arguments.run(),
        }
    }
}

impl Arguments {
    fn run(&self) -> Result<(), Failure> {
        let show = !self.quiet && std::io::stderr().is_terminal();
        let mut program = self.program.start()?;
        let model = &self.model;
        let (read, named) = self.open(show)?;
        let settings = self.settings(&read, &named)?;
        settings.sampling().validate().map_err(Failure::usage)?;
        let mut responses = match &self.out {
            Some(folder) => Responses::open(folder, &settings, &read.judged)?,
            None => Responses::default(),
        };
        let count = read.judged.len();
        let before = (0..count).filter(|&index| responses.has(index, self.n)).count();
        let mut timing = Timing::default();
        if before < count {
            let device = model.open_device()?;
            let policy = named.load(DType::from(model.dtype), &device.device)?;
            let stop = on_interrupt("stopping; once more stops at once");
            let bar = progress_bar(show, before);
            let mut done = before;
            let mut on_progress = |_: &str, answered: usize, total: usize| {
                done = answered;
                bar.set_length(total as u64);
                bar.set_position(answered as u64);
            };
            let mut hooks = Hooks {
                on_progress: &mut on_progress,
                on_step: &mut |_, _| {},
                stop: &stop,
                read_step: device.read_step(),
                ranks: &Single,
            };
            let started = Instant::now();
            let Read { questions, judged, .. } = &read;
            let evaluated = evaluate(
                &policy,
                questions,
                judged,
                &settings,
                self.batch,
                &mut responses,
                &mut hooks,
            );
            bar.finish_and_clear();
            if !evaluated? {
                let rest = match self.out {
                    Some(_) => "the same command goes on",
                    None => "nothing is kept; name a folder with --out",
                };
                let message = format!("stopped after {done} of {count} questions; {rest}");
                return Err(Failure { message, code: 130 });
            }
            timing.seconds = started.elapsed().as_secs_f64();
            timing.questions_per_second = (count - before) as f64 / timing.seconds;
        }
        let mut results = Results::new(
            settings,
            read.questions.benchmark,
            &read.judged,
            &read.texts,
            &responses,
            timing,
        );
        results.left_out = read.faults.left_out();
        if let Some(program) = &mut program {
            let asked = (&read.texts[..], &read.sources[..]);
            let report =
                ProgramReport::new(program, &read.judged, asked, &responses, &results.settings)?;
            results.reward_program = Some(report);
        }
        if let Some(path) = &self.export_vlmevalkit {
            export::write(path, &read, &responses, self.n)?;
        }
        if let Some(folder) = &self.out {
            results.save(folder)?;
            write(&folder.join("results.md"), table::markdown(&results).as_bytes())?;
            report::write(&folder.join("report.html"), &results, &read, &responses)?;
        }
        print(&match self.json {
            true => {
                let mut json = json!(results);
                if let Some(json) = json.as_object_mut() {
                    // They are many, and stand in the folder.
                    json.remove("items");
                }
                format!("{json}\n")
            }
            false => table::terminal(&results, self.out.as_deref()),
        });
        Ok(())
    }

    /// The questions and the model; where questions may be left out, the model's processor tells
    /// which it cannot take.
    fn open(&self, show: bool) -> Result<(Read, Named), Failure> {
        let model = &self.model;
        let named = || pretrained::named(model.model.as_deref(), model.adapter.as_deref(), show);
        if self.unreadable == Unreadable::Error {
            let read = self.questions.read(None)?;
            return Ok((read, named()?));
        }
        let named = named()?;
        let (parts, instruction) = (named.files.parts()?, self.instructs(&named));
        let check = |questions: &_, index| check(&parts, questions, index, instruction);
        Ok((self.questions.read(Some(&check))?, named))
    }

    /// The demo model thinks without being told to.
    fn instructs(&self, named: &Named) -> bool {
        !self.plain && !named.name.is_empty()
    }

    fn settings(&self, read: &Read, named: &Named) -> Result<Settings, Failure> {
        let Named { name, files, adapter } = named;
        let is_demo = name.is_empty();
        Ok(Settings {
            model: if is_demo { "demo".into() } else { name.clone() },
            weights: files.fingerprint()?,
            adapter: adapter.as_deref().map(Adapter::new).transpose()?,
            dtype: format!("{:?}", self.model.dtype).to_lowercase(),
            benchmark: read.questions.benchmark.name.into(),
            data: self.questions.data.clone(),
            questions: read.judged.len(),
            questions_crc32c: read.checksum,
            n: self.n,
            temperature: self.temperature.unwrap_or(if self.n > 1 { 1.0 } else { 0.0 }),
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            max_new_tokens: self.max_new_tokens,
            seed: self.seed,
            grader: self.grader,
            instruction: self.instructs(named),
        })
    }
}

/// Questions answered, with the time that the others will take.
fn progress_bar(shown: bool, before: usize) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0).with_position(before as u64);
    let template = "{wide_bar} {pos}/{len} questions, {per_sec}, eta {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.reset_eta();
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
