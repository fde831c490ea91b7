//! The thread that owns the model; requests wait for it in a queue.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use axum::http::StatusCode;
use generation::{Completion, Finish, GenerateError, Token, generate_blocking};
use session::{Prepared, Pretrained, Request, SessionError, Usage};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};

use super::error::ApiError;
use super::reply::{Choice, token_json};
use super::stop::Stop;

/// Requests that wait for the model.
const QUEUE: usize = 64;

/// A request on its way to the model.
pub struct Job {
    pub request: Request,
    /// Encoded pictures, in the order of the messages' image parts.
    pub pictures: Vec<Vec<u8>>,
    /// Texts that end a response.
    pub stops: Vec<String>,
    /// What became of it; the job is given up when the receiver is gone.
    pub events: UnboundedSender<Event>,
}

/// What the model's thread says of a job.
pub enum Event {
    /// A response got longer; `logprobs` describes the token where asked for.
    Piece { index: usize, text: String, logprobs: Option<serde_json::Value> },
    /// All responses are there.
    Done { choices: Vec<Choice>, usage: Usage },
    /// There are none.
    Failed(ApiError),
}

/// The way to the model's thread.
#[derive(Clone)]
pub struct Engine {
    /// What the model is called.
    pub name: Arc<str>,
    jobs: Sender<Job>,
}

impl Engine {
    /// Starts the thread; it ends when all engines are gone or `stop` is set.
    pub fn start(
        pretrained: Pretrained,
        name: String,
        read_step: usize,
        stop: Arc<AtomicBool>,
    ) -> (Self, JoinHandle<()>) {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::spawn(move || run(&pretrained, read_step, queue, &stop));
        (Self { name: name.into(), jobs }, thread)
    }

    /// Puts a request into the queue.
    pub fn submit(
        &self,
        request: Request,
        pictures: Vec<Vec<u8>>,
        stops: Vec<String>,
    ) -> Result<UnboundedReceiver<Event>, ApiError> {
        let (events, receiver) = mpsc::unbounded_channel();
        let job = Job { request, pictures, stops, events };
        let message = match self.jobs.try_send(job) {
            Ok(()) => return Ok(receiver),
            Err(TrySendError::Full(_)) => "too many requests are waiting already; try again later",
            Err(TrySendError::Closed(_)) => "the model's thread failed; start the server again",
        };
        Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message))
    }
}

fn run(pretrained: &Pretrained, read_step: usize, mut queue: Receiver<Job>, stop: &AtomicBool) {
    while let Some(job) = queue.blocking_recv() {
        if job.events.is_closed() {
            continue;
        }
        let event = answer(pretrained, read_step, &job, stop).unwrap_or_else(Event::Failed);
        // Nobody may be listening any more.
        let _ = job.events.send(event);
    }
}

fn answer(
    pretrained: &Pretrained,
    read_step: usize,
    job: &Job,
    stop: &AtomicBool,
) -> Result<Event, ApiError> {
    let pictures = job
        .pictures
        .iter()
        .map(|bytes| processor::decode(bytes))
        .collect::<Result<Vec<_>, _>>()
        .map_err(ApiError::request)?;
    let Prepared { mut prompt, usage, options } =
        job.request.prepare(pretrained, &pictures, read_step).map_err(of_session)?;
    let encoded = pretrained.encode_images(&mut prompt, &pictures);
    encoded.map_err(|error| of_session(GenerateError::from(error).into()))?;
    let tokenizer = &pretrained.processor.tokenizer;
    let details = options.details.is_some();
    let mut rows: Vec<Row> = (0..options.n)
        .map(|_| Row {
            stream: tokenizer.decode_stream(true),
            stop: Stop::new(&job.stops),
            text: String::new(),
            tokens: 0,
            logprobs: Vec::new(),
            open: true,
        })
        .collect();
    let result = generate_blocking(&pretrained.model, &[prompt], &options, |index, token| {
        let row = &mut rows[index];
        if row.open {
            let text = row.push(token, options.eos_token_ids.contains(&token.id));
            let logprobs = details.then(|| token_json(tokenizer, token));
            row.logprobs.extend(logprobs.clone());
            let _ = job.events.send(Event::Piece { index, text, logprobs });
        }
        let given_up = job.events.is_closed() || stop.load(Ordering::Relaxed);
        match given_up || rows.iter().all(|row| !row.open) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    let completions = result.map_err(SessionError::from).map_err(of_session)?;
    if stop.load(Ordering::Relaxed) {
        return Err(ApiError::stopping());
    }
    for (index, row) in rows.iter_mut().enumerate() {
        let text = row.finish();
        if !text.is_empty() {
            let _ = job.events.send(Event::Piece { index, text, logprobs: None });
        }
    }
    let choices = rows.into_iter().zip(&completions);
    let choice = |(row, completion): (Row, &Completion)| Choice {
        finish_reason: match (row.stop.found(), completion.finish) {
            (true, _) | (_, Finish::Stop | Finish::Cancelled) => "stop",
            (false, Finish::Length) => "length",
        },
        logprobs: details.then_some(row.logprobs),
        tokens: row.tokens,
        text: row.text,
    };
    Ok(Event::Done { choices: choices.map(choice).collect(), usage })
}

/// A response while it grows.
struct Row<'a> {
    stream: processor::DecodeStream<'a>,
    stop: Stop,
    text: String,
    tokens: usize,
    /// What describes the tokens, where asked for.
    logprobs: Vec<serde_json::Value>,
    open: bool,
}

impl Row<'_> {
    /// The text that a token adds.
    fn push(&mut self, token: &Token, is_last: bool) -> String {
        self.tokens += 1;
        let text = self.stop.push(&self.stream.push(token.id));
        self.open = !is_last && !self.stop.found();
        self.text += &text;
        text
    }

    /// The text that was held back.
    fn finish(&mut self) -> String {
        let rest = self.stream.finish();
        let text = self.stop.push(&rest) + &self.stop.finish();
        self.text += &text;
        text
    }
}

/// What a request cannot have is the client's fault, the device's failure ours.
fn of_session(error: SessionError) -> ApiError {
    match error {
        SessionError::Request(_) | SessionError::Processor(_) => ApiError::request(error),
        error => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}
