//! OpenAI's chat completions and list of models.

use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use processor::{Content, Message};
use serde::Deserialize;
use serde_json::{Value, json};
use session::Request;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Shared;
use super::body::channel;
use super::engine::Event;
use super::error::ApiError;
use super::picture::fetch;
use super::reply::Reply;

/// Largest request, in bytes.
const MAX_BODY: usize = 32 << 20;

/// Most responses to a request, and most pictures in it.
const MAX_RESPONSES: usize = 64;
const MAX_PICTURES: usize = 64;

/// The body of a request; what is not named is passed over.
#[derive(Deserialize)]
struct ChatRequest {
    model: Option<String>,
    messages: Vec<ChatMessage>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    n: Option<usize>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<usize>,
    min_p: Option<f64>,
    repetition_penalty: Option<f64>,
    seed: Option<i64>,
    stop: Option<Texts>,
    logprobs: Option<bool>,
    top_logprobs: Option<usize>,
    tools: Option<Vec<Value>>,
    response_format: Option<Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct ChatMessage {
    role: String,
    content: Option<ChatContent>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ChatContent {
    Text(String),
    Parts(Vec<ChatPart>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ChatPart {
    Text { text: String },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ImageUrl {
    Bare(String),
    Object { url: String },
}

impl ImageUrl {
    fn url(&self) -> &str {
        match self {
            Self::Bare(url) | Self::Object { url } => url,
        }
    }
}

impl ChatRequest {
    /// Checks what this server does not do, or not for this model.
    fn check(&self, name: &str) -> Result<(), ApiError> {
        if let Some(model) = self.model.as_deref().filter(|model| *model != name) {
            return Err(no_model(model, name));
        }
        if self.tools.as_ref().is_some_and(|tools| !tools.is_empty()) {
            return Err(ApiError::request("tools are not supported"));
        }
        let format = self.response_format.as_ref().and_then(|format| format["type"].as_str());
        if format.is_some_and(|format| format != "text") {
            return Err(ApiError::request("response_format must be text"));
        }
        if !(1..=MAX_RESPONSES).contains(&self.n.unwrap_or(1)) {
            return Err(ApiError::request(format!("n must be 1 to {MAX_RESPONSES}")));
        }
        if self.top_logprobs.unwrap_or(0) > 20 {
            return Err(ApiError::request("top_logprobs must be at most 20"));
        }
        if self.messages.is_empty() {
            return Err(ApiError::request("messages are empty"));
        }
        Ok(())
    }

    /// The messages, and the URLs of their pictures.
    fn messages(&self) -> Result<(Vec<Message>, Vec<&str>), ApiError> {
        let mut urls = Vec::new();
        let mut messages = Vec::new();
        for message in &self.messages {
            let role = match message.role.as_str() {
                "developer" => "system",
                role @ ("system" | "user" | "assistant") => role,
                role => return Err(ApiError::request(format!("role {role:?} is not supported"))),
            };
            let content = match &message.content {
                None => vec![Content::Text { text: String::new() }],
                Some(ChatContent::Text(text)) => vec![Content::Text { text: text.clone() }],
                Some(ChatContent::Parts(parts)) => parts
                    .iter()
                    .map(|part| match part {
                        ChatPart::Text { text } => Content::Text { text: text.clone() },
                        ChatPart::ImageUrl { image_url } => {
                            urls.push(image_url.url());
                            Content::Image
                        }
                    })
                    .collect(),
            };
            messages.push(Message { role: role.into(), content });
        }
        if urls.len() > MAX_PICTURES {
            return Err(ApiError::request(format!("more than {MAX_PICTURES} pictures")));
        }
        Ok((messages, urls))
    }

    fn request(&self, messages: Vec<Message>) -> Request {
        let details = self.logprobs.unwrap_or(false);
        Request {
            messages,
            n: self.n,
            max_new_tokens: self.max_completion_tokens.or(self.max_tokens),
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed.unwrap_or(0) as u64,
            details,
            logprobs: if details { self.top_logprobs.unwrap_or(0) } else { 0 },
        }
    }

    fn stops(&self) -> Vec<String> {
        match &self.stop {
            None => Vec::new(),
            Some(Texts::One(stop)) => vec![stop.clone()],
            Some(Texts::Several(stops)) => stops.clone(),
        }
    }
}

fn no_model(asked: &str, name: &str) -> ApiError {
    let message = format!("there is no model {asked:?}; this server has {name:?}");
    ApiError::new(StatusCode::NOT_FOUND, message).code("model_not_found")
}

/// `POST /v1/chat/completions`
pub async fn completions(
    State(shared): State<Shared>,
    request: axum::extract::Request,
) -> Result<Response, ApiError> {
    let body = json_body(request).await?;
    let chat: ChatRequest = serde_json::from_slice(&body).map_err(ApiError::request)?;
    chat.check(&shared.engine.name)?;
    let (messages, urls) = chat.messages()?;
    let folder = shared.images.as_deref();
    let pictures = urls
        .iter()
        .enumerate()
        .map(|(index, url)| {
            fetch(url, folder)
                .map_err(|error| ApiError::request(format!("picture {}: {error}", index + 1)))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let events = shared.engine.submit(chat.request(messages), pictures, chat.stops())?;
    let reply = Reply::new(&shared.engine.name);
    match chat.stream {
        true => {
            let usage = chat.stream_options.is_some_and(|options| options.include_usage);
            streamed(reply, events, usage).await
        }
        false => whole(&reply, events).await,
    }
}

/// The body of a request, refused before it is read where it says that it is too long.
async fn json_body(request: axum::extract::Request) -> Result<Bytes, ApiError> {
    let (head, body) = request.into_parts();
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    // Pages of other sites cannot send JSON without asking, and are not answered when they ask.
    let kind = header(header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    if !kind.starts_with("application/json") {
        let message = "the content type must be application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let length = header(header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    let too_long = || {
        let message = format!("the request is longer than {} MiB", MAX_BODY >> 20);
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    if length.is_some_and(|length| length > MAX_BODY) {
        return Err(too_long());
    }
    to_bytes(body, MAX_BODY).await.map_err(|_| too_long())
}

async fn whole(reply: &Reply, mut events: UnboundedReceiver<Event>) -> Result<Response, ApiError> {
    while let Some(event) = events.recv().await {
        match event {
            Event::Piece { .. } => {}
            Event::Done { choices, usage } => {
                return Ok(Json(reply.whole(&choices, usage)).into_response());
            }
            Event::Failed(error) => return Err(error),
        }
    }
    Err(ApiError::stopping())
}

/// Server-sent events; what goes wrong before the first token is an ordinary error.
async fn streamed(
    reply: Reply,
    mut events: UnboundedReceiver<Event>,
    usage_wanted: bool,
) -> Result<Response, ApiError> {
    let first = match events.recv().await {
        None => return Err(ApiError::stopping()),
        Some(Event::Failed(error)) => return Err(error),
        Some(event) => event,
    };
    let (sender, body) = channel();
    tokio::spawn(async move {
        let mut opened = Vec::new();
        let mut next = Some(first);
        while let Some(event) = next {
            let mut parts = Vec::new();
            let mut last = true;
            match event {
                Event::Piece { index, text, logprobs } => {
                    if !opened.contains(&index) {
                        opened.push(index);
                        let role = json!({"role": "assistant", "content": ""});
                        parts.push(reply.part(index, role, None));
                    }
                    if !text.is_empty() || logprobs.is_some() {
                        parts.push(reply.part(index, json!({"content": text}), logprobs));
                    }
                    last = false;
                }
                Event::Done { choices, usage } => {
                    let ends = choices.iter().enumerate();
                    parts.extend(ends.map(|(index, choice)| reply.end(index, choice)));
                    if usage_wanted {
                        parts.push(reply.usage(&choices, usage));
                    }
                }
                Event::Failed(error) => parts.push(error.json()),
            }
            let mut text: String = parts.iter().map(|part| format!("data: {part}\n\n")).collect();
            if last {
                text += "data: [DONE]\n\n";
            }
            if sender.send(Ok(text.into())).await.is_err() || last {
                return;
            }
            // A client that goes away while the model thinks is noticed as well.
            next = tokio::select! {
                event = events.recv() => event,
                () = sender.closed() => return,
            };
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, body).into_response())
}

fn described(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": 0, "owned_by": "cppo"})
}

/// `GET /v1/models`
pub async fn models(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({"object": "list", "data": [described(&shared.engine.name)]}))
}

/// `GET /v1/models/NAME`
pub async fn model(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    match *name == *shared.engine.name {
        true => Ok(Json(described(&name))),
        false => Err(no_model(&name, &shared.engine.name)),
    }
}

/// Any other path under `/v1`.
pub async fn unknown() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is no such endpoint")
}
