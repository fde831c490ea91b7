//! `cppo train` and `cppo sft`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use burn::tensor::DType;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use qwen2_5_vl::WeightsError;
use serde::de::DeserializeOwned;
use trainer::collective::{gather, leads};
use trainer::config::{
    DataConfig, Logger, ModelConfig, SftConfig, TrainConfig, TrainerConfig, load, to_yaml,
};
use trainer::data::Source;
use trainer::hooks::Hooks;
use trainer::lora::attach;
use trainer::metrics::console::{Console, colour_wanted};
use trainer::plan::MemoryPlan;
use trainer::pretrained::{self, Pretrained};
use trainer::{Outcome, TrainError};

use crate::demo;
use crate::device::Opened;
use crate::failure::{Failure, about};
use crate::interrupt::on_interrupt;
use crate::pretrained::{base_name, files};
use crate::ranks::Ranks;

/// A configuration and what changes it.
#[derive(Args)]
struct ConfigArgs {
    /// CONFIG.yaml, and changes such as optim.lr=1e-5; `cppo train` without CONFIG.yaml and
    /// model.path runs the demo
    #[arg(value_name = "CONFIG.yaml | key.path=value")]
    arguments: Vec<String>,
    /// auto, cpu, wgpu, vulkan, metal or cuda, with :N for one of several
    #[arg(long)]
    device: Option<String>,
    /// No progress, only errors
    #[arg(long, short)]
    quiet: bool,
}

impl ConfigArgs {
    /// Reads the file among the arguments, if there is one, and applies the others.
    fn load<T: DeserializeOwned>(&self, defaults: Option<&str>) -> Result<T, Failure> {
        let is_file = |argument: &&String| !argument.contains('=');
        let files: Vec<&String> = self.arguments.iter().filter(is_file).collect();
        let text = match files[..] {
            [] => None,
            [path] => Some((path, std::fs::read_to_string(path).map_err(about(path))?)),
            [_, other, ..] => {
                return Err(Failure::usage(format!(
                    "{other}: one configuration file is read; changes look like optim.lr=1e-5"
                )));
            }
        };
        let mut changes: Vec<String> =
            self.arguments.iter().filter(|argument| argument.contains('=')).cloned().collect();
        changes.extend(self.device.iter().map(|device| format!("trainer.device={device}")));
        // The embedded recipe is for the embedded model.
        let own = text.is_some() || changes.iter().any(|change| change.starts_with("model.path="));
        let defaults = defaults.filter(|_| !own);
        let file = text.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
        load(file, defaults, &changes).map_err(Failure::usage)
    }
}

/// Arguments of `cppo train`.
#[derive(Args)]
pub struct Train {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the resolved configuration and an estimate of the memory it takes, and stop
    #[arg(long)]
    dry_run: bool,
}

impl Train {
    pub fn run(&self) -> Result<(), Failure> {
        let config: TrainConfig = self.config.load(Some(demo::TRAIN))?;
        config.validate().map_err(Failure::usage)?;
        let session = Session::open(&config.trainer, &config.model, self.config.quiet)?;
        if self.dry_run {
            let ranks = session.ranks.world();
            let plan = MemoryPlan::new(&session.policy.model, &config, ranks.size());
            if leads(ranks) {
                print!("{}\n{plan}", to_yaml(&config));
            }
            return Ok(());
        }
        session.run(&config.data, |policy, device, hooks| {
            trainer::train(policy, &config, device, hooks)
        })
    }
}

/// Arguments of `cppo sft`.
#[derive(Args)]
pub struct Sft {
    #[command(flatten)]
    config: ConfigArgs,
}

impl Sft {
    pub fn run(&self) -> Result<(), Failure> {
        let config: SftConfig = self.config.load(None)?;
        config.validate().map_err(Failure::usage)?;
        let session = Session::open(&config.trainer, &config.model, self.config.quiet)?;
        session
            .run(&config.data, |policy, device, hooks| trainer::sft(policy, &config, device, hooks))
    }
}

/// A run with its processes, model, device and terminal.
struct Session {
    ranks: Ranks,
    policy: Pretrained,
    device: Opened,
    console: Option<Console>,
    run_dir: PathBuf,
    quiet: bool,
}

impl Session {
    fn open(trainer: &TrainerConfig, model: &ModelConfig, quiet: bool) -> Result<Self, Failure> {
        let ranks = Ranks::join(Duration::from_secs(trainer.rank_timeout_s))?;
        // Only one of several processes talks.
        let quiet = quiet || !leads(ranks.world());
        match Self::load(&ranks, trainer, model, quiet) {
            Ok((device, policy)) => {
                let shown = !quiet && trainer.loggers.contains(&Logger::Console);
                let steps = trainer.total_steps as u64;
                let console = shown.then(|| Console::new(steps, colour_wanted()));
                let run_dir = trainer.run_dir.clone();
                let session = Self { ranks, policy, device, console, run_dir, quiet };
                session.introduce();
                Ok(session)
            }
            Err(failure) => Err(ranks.end_all(failure)),
        }
    }

    fn introduce(&self) {
        if self.console.is_some() {
            let ranks = match self.ranks.world().size() {
                1 => String::new(),
                size => format!(", {size} ranks"),
            };
            let Opened { name, backend, .. } = &self.device;
            eprintln!("{} on {name} ({backend}{ranks})", self.policy.name);
        }
    }

    fn load(
        ranks: &Ranks,
        trainer: &TrainerConfig,
        model: &ModelConfig,
        quiet: bool,
    ) -> Result<(Opened, Pretrained), Failure> {
        let choice: crate::device::DeviceChoice = trainer
            .device
            .parse()
            .map_err(|error| Failure::usage(format!("trainer.device: {error}")))?;
        let device = choice.open_for(ranks.local_rank())?;
        let files = downloaded(ranks, "the model's download", || files(&model.path, !quiet))?;
        let mut policy = match model.quantize {
            Some(bits) => pretrained::load_quantized(&files, bits.into(), &device.device)?,
            None => pretrained::load(&files, model.init_seed, DType::F32, &device.device)?,
        };
        if policy.model.is_exported() && model.quantize.is_none() {
            return Err(about(files.name())(WeightsError::Exported));
        }
        if let Some(lora) = &model.lora {
            policy.model =
                attach(policy.model, lora, &base_name(&model.path)).map_err(Failure::usage)?;
        }
        Ok((device, policy))
    }

    fn run(
        mut self,
        data: &DataConfig,
        train: impl FnOnce(Pretrained, &burn::tensor::Device, &mut Hooks) -> Result<Outcome, TrainError>,
    ) -> Result<(), Failure> {
        if self.ranks.world().size() > 1 {
            downloaded(&self.ranks, "the data's download", || Ok(Source::download(data)?))
                .map_err(|failure| self.ranks.end_all(failure))?;
        }
        let stop = on_interrupt("stopping after this step; once more stops at once");
        let bar = progress_bar(self.console.is_some());
        let read_step = self.device.read_step();
        let console = &mut self.console;
        let mut on_progress = |stage: &str, done: usize, total: usize| {
            bar.set_message(stage.to_string());
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        };
        let mut on_step = |step: usize, metrics: &trainer::metrics::Metrics| {
            if let Some(console) = console {
                bar.suspend(|| println!("{}", console.step(step as u64, metrics)));
            }
        };
        let (stop, ranks): (&AtomicBool, _) = (&stop, self.ranks.world());
        let mut hooks =
            Hooks { on_progress: &mut on_progress, on_step: &mut on_step, stop, read_step, ranks };
        let outcome = train(self.policy, &self.device.device, &mut hooks);
        bar.finish_and_clear();
        let outcome = outcome.map_err(|error| self.ranks.end_all(error.into()))?;
        if !self.quiet {
            if let Some((first, last)) = outcome.accuracy {
                println!("validation accuracy {:.1} % -> {:.1} %", 100.0 * first, 100.0 * last);
            }
            println!("{} steps, {}", outcome.steps, self.run_dir.display());
        }
        if !outcome.stopped {
            return Ok(());
        }
        let message = match leads(self.ranks.world()) {
            true => format!("stopped after step {}; the same command goes on", outcome.steps),
            false => String::new(),
        };
        Err(Failure { message, code: 130 })
    }
}

/// What `find` finds: one process of a machine downloads, and the others find the files there.
fn downloaded<T>(
    ranks: &Ranks,
    what: &str,
    find: impl Fn() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let first = ranks.local_rank() == 0;
    let found = first.then(&find).transpose()?;
    gather(ranks.world(), what, first)?;
    found.map_or_else(find, Ok)
}

/// Progress of the parts of one step; hidden unless stderr is a terminal.
fn progress_bar(shown: bool) -> ProgressBar {
    if !shown || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{spinner} {msg:8} {wide_bar} {pos}/{len} {elapsed}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
