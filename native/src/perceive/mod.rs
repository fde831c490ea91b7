//! `cppo perceive`

pub mod html;
mod terminal;

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use cppo::CplConfig;
use gym::{Family, Gym, Split, seen_words};
use image::RgbImage;
use perceive::{Passes, PerceiveOptions, Perceived, agreement, perceive};
use processor::{INSTRUCTION, Message, decode};
use serde_json::json;
use session::{PerceiveRequest, Pretrained, pieces};
use trainer::config::load;

use crate::args::{ModelArgs, question};
use crate::failure::{Failure, about};
use crate::infer::{print, read_picture};
use crate::pretrained;

/// Arguments of `cppo perceive`.
#[derive(Args)]
pub struct Perceive {
    #[command(flatten)]
    model: ModelArgs,
    /// The question about the pictures, - for standard input
    #[arg(required_unless_present = "gym_items")]
    question: Option<String>,
    /// A picture file, or - for standard input; may be given several times
    #[arg(long, short)]
    image: Vec<String>,
    /// Look at this response instead of generating one
    #[arg(long)]
    response: Option<String>,
    /// Longest response to generate, in tokens
    #[arg(long, default_value_t = 512)]
    max_new_tokens: usize,
    /// Perturbed pictures of each kind to average over
    #[arg(long, default_value_t = 4)]
    draws: usize,
    /// Seed of the perturbations
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A picture without the information, in place of drawn ones; one for each --image
    #[arg(long, value_name = "FILE")]
    removed_image: Vec<String>,
    /// A picture with the same information, in place of drawn ones; one for each --image
    #[arg(long, value_name = "FILE")]
    preserved_image: Vec<String>,
    /// Settings of the selection, such as top=0.4 or removing=[{kind: blank}]
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Ask the question as it is, without the instruction to think first
    #[arg(long)]
    plain: bool,
    /// Compare with the known answer on this many test pictures of the perception gym
    #[arg(long, value_name = "N")]
    gym_items: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Likeliest tokens reported at each place
    #[arg(long, default_value_t = 5)]
    top_logprobs: usize,
    /// Write a report with pictures to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the result only
    #[arg(long, short)]
    quiet: bool,
}

/// A question, its pictures and the response that is looked at.
pub struct Subject {
    pub question: String,
    pub pictures: Vec<RgbImage>,
    pub perceived: Perceived,
    /// Text of each token.
    pub texts: Vec<String>,
}

impl Perceive {
    pub fn run(&self) -> Result<(), Failure> {
        let show = !self.quiet && std::io::stderr().is_terminal();
        let config = self.config()?;
        let (loaded, device) = pretrained::load(&self.model, show)?;
        if let Some(items) = self.gym_items {
            return self.gym(items, &config, &loaded);
        }
        let question = question(self.question.as_deref().unwrap_or_default(), &self.image)?;
        let pictures = read_pictures(&self.image)?;
        if pictures.is_empty() {
            return Err(Failure::usage("no picture given; pass --image FILE"));
        }
        let given = |files: &[String]| match files.is_empty() {
            true => Ok(None),
            false => read_pictures(files).map(Some),
        };
        let instructed = match self.plain || self.model.model.is_none() {
            true => question.clone(),
            false => format!("{question} {INSTRUCTION}"),
        };
        let request = PerceiveRequest {
            messages: vec![Message::user(pictures.len(), instructed)],
            response: self.response.clone(),
            ..self.request(config)
        };
        let options = PerceiveOptions {
            removed: given(&self.removed_image)?,
            preserved: given(&self.preserved_image)?,
            ..request.options()
        };
        let perceived = pollster::block_on(loaded.perceive(
            &request,
            &options,
            &pictures,
            device.read_step(),
            go_on,
        ))
        .map_err(Failure::of_session)?;
        let ids: Vec<u32> = perceived.tokens.iter().map(|token| token.id).collect();
        let texts = pieces(&loaded.processor.tokenizer, &ids);
        let subject = Subject { question, texts, pictures, perceived };
        if let Some(path) = &self.html {
            html::write(path, &subject, &loaded)?;
        }
        match self.json {
            true => print(&format!("{}\n", loaded.perceived(&subject.perceived))),
            false => print(&terminal::text(&subject, terminal::Style::detect())),
        }
        Ok(())
    }

    fn config(&self) -> Result<CplConfig, Failure> {
        load(None, None, &self.settings).map_err(Failure::usage)
    }

    fn request(&self, config: CplConfig) -> PerceiveRequest {
        PerceiveRequest {
            max_new_tokens: self.max_new_tokens,
            draws: self.draws,
            seed: self.seed,
            top_logprobs: self.top_logprobs,
            cpl: config,
            ..Default::default()
        }
    }

    /// Detected perception tokens against the words that are known to be seen.
    fn gym(&self, items: u64, config: &CplConfig, loaded: &Pretrained) -> Result<(), Failure> {
        let families = vec![Family::CountColor, Family::CountShape];
        let gym = Gym { families, ..Default::default() };
        let words = seen_words();
        let options = PerceiveOptions { top: 0, ..self.request(config.clone()).options() };
        let mut tokens = Vec::new();
        for index in 0..items {
            let item = gym.item(Split::Test, index);
            let pictures = [item.picture];
            let prompt = loaded.prompt(&[Message::user(1, item.question)], &pictures)?;
            let response = loaded.processor.tokenizer.encode(&item.response)?;
            let perceived = pollster::block_on(perceive(
                &loaded.model,
                &loaded.processor,
                &prompt,
                &pictures,
                &response,
                &PerceiveOptions { seed: self.seed + index, ..options.clone() },
                go_on,
            ))?;
            let texts = pieces(&loaded.processor.tokenizer, &response);
            let mut start = 0;
            for (token, text) in perceived.tokens.iter().zip(&texts) {
                let word = start + text.len() - text.trim_start().len();
                let seen = item.seen.iter().any(|span| span.contains(&word));
                debug_assert!(!seen || words.contains(&text.trim()));
                tokens.push((token.score, token.perception, seen));
                start += text.len();
            }
        }
        let found = agreement(&tokens);
        if self.json {
            print(&format!(
                "{}\n",
                json!({
                    "items": items, "tokens": found.tokens, "precision": found.precision,
                    "recall": found.recall, "auroc": found.auroc, "base_rate": found.base_rate,
                })
            ));
            return Ok(());
        }
        print(&format!(
            "{items} test pictures, {} tokens, {:.1} % of them name something seen\n\
             precision {:.3}  recall {:.3}  AUROC {:.3}\n",
            found.tokens,
            100.0 * found.base_rate,
            found.precision,
            found.recall,
            found.auroc
        ));
        Ok(())
    }
}

async fn go_on(_: Passes) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn read_pictures(files: &[String]) -> Result<Vec<RgbImage>, Failure> {
    files.iter().map(|path| decode(&read_picture(path)?).map_err(about(path))).collect()
}
