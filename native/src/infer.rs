//! `cppo infer`

use std::io::{IsTerminal, Read, Write};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use generation::generate_blocking;
use indicatif::ProgressBar;
use processor::{INSTRUCTION, Message, decode};
use session::{Prepared, Request, Timing};

use crate::args::{ModelArgs, question};
use crate::failure::{Failure, about};
use crate::interrupt::on_interrupt;
use crate::pretrained;

#[derive(Args)]
pub struct Infer {
    #[command(flatten)]
    model: ModelArgs,
    /// Picture file, - for standard input; several or none
    #[arg(long, short)]
    image: Vec<String>,
    /// The question, - for standard input
    question: String,
    /// Ask the question as it stands, without CPPO's instruction to think first
    #[arg(long)]
    plain: bool,
    /// Longest response, in tokens
    #[arg(long, default_value_t = 1024)]
    max_new_tokens: usize,
    /// Number of responses
    #[arg(long, default_value_t = 1)]
    n: usize,
    /// 0 takes the likeliest token; default from generation_config.json
    #[arg(long)]
    temperature: Option<f64>,
    /// Draw among the k likeliest tokens
    #[arg(long)]
    top_k: Option<usize>,
    /// Draw among the likeliest tokens that reach this probability
    #[arg(long)]
    top_p: Option<f64>,
    /// Leave out tokens less likely than this share of the likeliest
    #[arg(long)]
    min_p: Option<f64>,
    /// Make tokens that already occurred less likely
    #[arg(long)]
    repetition_penalty: Option<f64>,
    /// The same seed draws the same tokens on the same device
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print one JSON object per response
    #[arg(long)]
    json: bool,
    /// Report this many likeliest tokens at each place; implies --json
    #[arg(long, default_value_t = 0)]
    logprobs: usize,
    /// Print the response only, no progress
    #[arg(long, short)]
    quiet: bool,
}

impl Infer {
    pub fn run(&self) -> Result<(), Failure> {
        let question = question(&self.question, &self.image)?;
        if self.n == 0 {
            return Err(Failure::usage("--n is 0, must be 1 or more"));
        }
        let pictures = self
            .image
            .iter()
            .map(|path| decode(&read_picture(path)?).map_err(about(path)))
            .collect::<Result<Vec<_>, Failure>>()?;

        let start = Instant::now();
        let show = !self.quiet && !self.json && std::io::stderr().is_terminal();
        let spinner = if show { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner.set_message("loading the model");
        let (loaded, device) = pretrained::load(&self.model, show)?;
        let mut timing = Timing { load: start.elapsed().as_secs_f64(), ..Default::default() };

        // The demo model thinks without being told to.
        let question = match self.plain || self.model.model.is_none() {
            true => question,
            false => format!("{question} {INSTRUCTION}"),
        };
        spinner.set_message("reading pictures and question");
        let request = self.request(vec![Message::user(pictures.len(), question)]);
        let Prepared { prompt, usage, options } =
            request.prepare(&loaded, &pictures, device.read_step()).map_err(Failure::of_session)?;
        let completions = {
            let cancelled = on_interrupt("");
            let mut streams: Vec<_> =
                (0..self.n).map(|_| loaded.processor.tokenizer.decode_stream(true)).collect();
            let stream = self.n == 1 && !self.json_output();
            let start = Instant::now();
            spinner.set_message("thinking");
            let result = generate_blocking(&loaded.model, &[prompt], &options, |row, token| {
                if timing.first_token == 0.0 {
                    timing.first_token = start.elapsed().as_secs_f64();
                    if stream {
                        spinner.finish_and_clear();
                    }
                }
                if stream {
                    print(&streams[row].push(token.id));
                }
                match cancelled.load(Ordering::Relaxed) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            spinner.finish_and_clear();
            timing.total = start.elapsed().as_secs_f64();
            if stream {
                print(&(streams[0].finish() + "\n"));
            }
            result?
        };
        for (index, completion) in completions.iter().enumerate() {
            if self.json_output() {
                print(&format!("{}\n", loaded.response(index, completion, usage, timing)));
            } else if self.n > 1 {
                print(&format!("[{index}] {}\n", loaded.text(completion)));
            }
        }
        Ok(())
    }

    fn request(&self, messages: Vec<Message>) -> Request {
        Request {
            messages,
            n: Some(self.n),
            max_new_tokens: Some(self.max_new_tokens),
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
            details: self.json_output(),
            logprobs: self.logprobs,
        }
    }

    fn json_output(&self) -> bool {
        self.json || self.logprobs > 0
    }
}

pub fn read_picture(path: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match path {
        "-" => std::io::stdin().read_to_end(&mut bytes).map(|_| bytes),
        path => std::fs::read(path),
    };
    read.map_err(about(path))
}

/// Writes to stdout at once; a closed pipe ends the program quietly.
pub fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(0);
    }
}
