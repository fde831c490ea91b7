//! `cppo serve` as browsers and OpenAI's clients see it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::commands::cppo;
use crate::reference::{folder, json as reference};

/// A server on a free port, with the reference model unless `more` says otherwise.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(more: &[&str]) -> Self {
        let model = folder().join("model").display().to_string();
        let arguments = ["serve", "--port", "0", "--quiet", "--device", "cpu", "-m", &model];
        let mut process = cppo(&[&arguments, more].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap().to_string();
        Self { process, address }
    }

    fn model() -> String {
        folder().join("model").display().to_string()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // A server that refuses the body may close before it has read all of it.
        let _ = stream.write_all(body);
        stream
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let mut bytes = Vec::new();
        let _ = self.send(method, path, headers, body).read_to_end(&mut bytes);
        Reply::parse(&bytes)
    }

    fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "", b"")
    }

    fn chat(&self, body: &Value) -> Reply {
        self.ask("POST", "/v1/chat/completions", JSON, body.to_string().as_bytes())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const JSON: &str = "Content-Type: application/json\r\n";

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = &bytes[end + 4..];
        let body = if chunked { unchunked(body) } else { body.to_vec() };
        Self { status, head, body }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The events of a stream, without the mark at their end.
    fn events(&self) -> Vec<Value> {
        let mut events: Vec<&str> = self
            .text()
            .split_terminator("\n\n")
            .map(|e| e.strip_prefix("data: ").unwrap())
            .collect();
        assert_eq!(events.pop(), Some("[DONE]"));
        events.into_iter().map(|event| serde_json::from_str(event).unwrap()).collect()
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n").unwrap();
        let length = std::str::from_utf8(&bytes[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 4 + length..];
    }
}

fn data_url(name: &str) -> String {
    let bytes = std::fs::read(folder().join(name)).unwrap();
    format!("data:image/png;base64,{}", STANDARD.encode(bytes))
}

/// The fourth reference case, whose picture is at `url`; its question carries CPPO's instruction.
fn question(url: &str) -> Value {
    let text = format!("x^2 + 1 = ? {}", processor::INSTRUCTION);
    json!({
        "model": "model",
        "temperature": 0,
        "max_tokens": 24,
        "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": text},
        ]}],
    })
}

fn expected() -> String {
    reference()["cases"][3]["greedy_text"].as_str().unwrap().to_string()
}

fn with(mut body: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn answers_are_the_reference_whole_and_streamed() {
    let server = Server::start(&["--images", folder().to_str().unwrap()]);
    let file = format!("file://{}", folder().join("image3.png").canonicalize().unwrap().display());
    let mut usages = Vec::new();
    for url in [data_url("image3.png"), file, "file:image3.png".into()] {
        let reply = server.chat(&question(&url));
        assert_eq!(reply.status, 200, "{reply:?}");
        let reply = reply.json();
        assert_eq!(reply["object"], "chat.completion");
        assert_eq!(reply["choices"][0]["message"]["content"], expected());
        assert_eq!(reply["choices"][0]["message"]["role"], "assistant");
        usages.push(reply["usage"].clone());

        let options = json!({"stream": true, "stream_options": {"include_usage": true}});
        let reply = server.chat(&with(question(&url), &options));
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.header("content-type").unwrap().starts_with("text/event-stream"));
        let mut events = reply.events();
        let last = events.pop().unwrap();
        assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &usages[0]));
        let text: String = events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(text, expected());
        let end = &events[events.len() - 1]["choices"][0];
        assert!(["stop", "length"].contains(&end["finish_reason"].as_str().unwrap()), "{end}");
        assert!(events.len() > 4);
    }
    let ids = reference()["cases"][3]["input_ids"].as_array().unwrap().len();
    assert_eq!(usages[0]["prompt_tokens"], ids);
    assert!(usages.iter().all(|usage| *usage == usages[0]));
}

#[test]
fn sampling_repeats_by_seed_and_log_probabilities_are_reported() {
    let server = Server::start(&[]);
    let body = json!({
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "temperature": 1, "max_completion_tokens": 6, "n": 3, "logprobs": true, "top_logprobs": 2,
    });
    let ask = |seed: u64| server.chat(&with(body.clone(), &json!({"seed": seed}))).json();
    let (first, again, other) = (ask(1), ask(1), ask(2));
    assert_eq!(first["choices"], again["choices"]);
    assert_ne!(first["choices"], other["choices"]);
    assert_eq!(first["choices"].as_array().unwrap().len(), 3);
    let mut tokens = 0;
    for choice in first["choices"].as_array().unwrap() {
        for token in choice["logprobs"]["content"].as_array().unwrap() {
            assert!(token["logprob"].as_f64().unwrap() <= 0.0);
            assert_eq!(token["top_logprobs"].as_array().unwrap().len(), 2);
            let bytes = token["token"].as_str().unwrap().as_bytes();
            assert_eq!(token["bytes"], json!(bytes));
            tokens += 1;
        }
    }
    assert_eq!(first["usage"]["completion_tokens"], tokens);
    let streamed = with(body.clone(), &json!({"seed": 1, "stream": true}));
    let events = server.chat(&streamed).events();
    for (index, choice) in first["choices"].as_array().unwrap().iter().enumerate() {
        let of = events.iter().map(|event| &event["choices"][0]).filter(|c| c["index"] == index);
        let text: String = of.clone().filter_map(|c| c["delta"]["content"].as_str()).collect();
        assert_eq!(choice["message"]["content"], text);
        let logprobs: Vec<&Value> =
            of.filter_map(|c| c["logprobs"]["content"].as_array()).flatten().collect();
        assert_eq!(choice["logprobs"]["content"], json!(logprobs));
    }
}

#[test]
fn a_response_ends_before_a_stop_text() {
    let server = Server::start(&[]);
    let whole = expected();
    let middle: String = whole.chars().skip(whole.chars().count() / 2).take(3).collect();
    let before = &whole[..whole.find(&middle).unwrap()];
    let body = question(&data_url("image3.png"));
    for stop in [json!(middle), json!(["never there", middle])] {
        let reply = server.chat(&with(body.clone(), &json!({"stop": stop}))).json();
        assert_eq!(reply["choices"][0]["message"]["content"], before);
        assert_eq!(reply["choices"][0]["finish_reason"], "stop");
        let reply = server.chat(&with(body.clone(), &json!({"stop": stop, "stream": true})));
        let events = reply.events();
        let text: String = events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(text, before);
    }
}

#[test]
fn wrong_requests_are_errors_in_the_usual_form() {
    let server = Server::start(&[]);
    let good = json!({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1});
    let picture = |url: &str| question(url);
    let long: String = "many words ".repeat(4000);
    let cases = [
        (with(good.clone(), &json!({"model": "gpt-5"})), 404, "there is no model"),
        (with(good.clone(), &json!({"messages": []})), 400, "messages are empty"),
        (with(good.clone(), &json!({"messages": "hi"})), 400, "expected a sequence"),
        (json!({}), 400, "messages"),
        (with(good.clone(), &json!({"n": 0})), 400, "n must be"),
        (with(good.clone(), &json!({"n": 1_000_000})), 400, "n must be"),
        (with(good.clone(), &json!({"temperature": -1})), 400, "temperature"),
        (with(good.clone(), &json!({"top_p": 7})), 400, "top_p"),
        (with(good.clone(), &json!({"top_logprobs": 21})), 400, "top_logprobs"),
        (with(good.clone(), &json!({"tools": [{}]})), 400, "tools"),
        (with(good.clone(), &json!({"response_format": {"type": "json_object"}})), 400, "text"),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), 400, "role"),
        (json!({"messages": [{"role": "user", "content": long}]}), 400, "at most"),
        (picture("https://example.com/a.png"), 400, "picture 1"),
        (picture("file:///etc/passwd"), 400, "--images"),
        (picture("data:image/png;base64,AAAA"), 400, "not a picture"),
        (picture("data:image/png;base64,?"), 400, "base64"),
    ];
    for (body, status, expected) in cases {
        for stream in [false, true] {
            let reply = server.chat(&with(body.clone(), &json!({"stream": stream})));
            assert_eq!(reply.status, status, "{body}: {}", reply.text());
            let error = &reply.json()["error"];
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(expected), "{expected:?} not in {message:?}");
            assert!(error["type"].is_string() && error["param"].is_null());
        }
    }
    let raw = |path, headers, body: &[u8]| server.ask("POST", path, headers, body);
    let path = "/v1/chat/completions";
    let body = good.to_string();
    assert_eq!(raw(path, "Content-Type: text/plain\r\n", body.as_bytes()).status, 415);
    assert_eq!(raw(path, "", body.as_bytes()).status, 415);
    assert_eq!(raw(path, JSON, b"{\"messages\":").status, 400);
    assert_eq!(raw(path, JSON, b"\xff").status, 400);
    let reply = raw("/v1/embeddings", JSON, b"{}");
    assert_eq!((reply.status, reply.json()["error"]["type"].is_string()), (404, true));
    assert_eq!(server.get(path).status, 405);
    // The model still answers.
    assert_eq!(server.chat(&good).status, 200);
}

#[test]
fn a_request_of_more_than_32_mib_is_refused() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{JSON}Content-Length: {}\r\n\r\n",
        33 << 20
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert!(line.contains(" 413 "), "{line}");
}

#[test]
fn models_are_listed() {
    let server = Server::start(&[]);
    let list = server.get("/v1/models").json();
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][0]["id"], "model");
    assert_eq!(server.get("/v1/models/model").status, 200);
    assert_eq!(server.get("/v1/models/gpt-5").status, 404);
}

#[test]
fn a_client_that_goes_away_frees_the_model() {
    let server = Server::start(&[]);
    let long = json!({
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 1900, "n": 64, "temperature": 2.0, "stream": true,
    });
    for stream in [true, false] {
        let body = with(long.clone(), &json!({"stream": stream})).to_string();
        // Together they would keep the model busy for much longer than is waited for.
        let mut connections: Vec<_> = (0..8)
            .map(|_| server.send("POST", "/v1/chat/completions", JSON, body.as_bytes()))
            .collect();
        if stream {
            connections[0].read_exact(&mut [0; 100]).unwrap();
        } else {
            std::thread::sleep(Duration::from_millis(300));
        }
        drop(connections);
        let start = Instant::now();
        let short = json!({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1});
        assert_eq!(server.chat(&short).status, 200);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_server_in_the_middle_of_an_answer() {
    let mut server = Server::start(&[]);
    let long = json!({
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 1900, "n": 64, "temperature": 2.0, "stream": true,
    });
    let body = long.to_string();
    let mut connection = server.send("POST", "/v1/chat/completions", JSON, body.as_bytes());
    connection.read_exact(&mut [0; 100]).unwrap();
    let _idle = server.connect();
    let id = server.process.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = server.process.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < Duration::from_secs(15), "still running");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{status}");
    let mut rest = String::new();
    connection.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("the server is stopping") && rest.contains("[DONE]"), "{rest}");
}

/// A page with files of several kinds, and a file beside it that nobody may read.
fn page(root: &Path) -> String {
    let web = root.join("page");
    std::fs::create_dir_all(web.join("assets")).unwrap();
    for (name, content) in [
        ("page/index.html", "<title>cppo</title>"),
        ("page/assets/engine_bg.wasm", "0123456789"),
        ("page/assets/engine.js", "export {}"),
        ("page/.hidden", "secret"),
        ("secret", "secret"),
    ] {
        std::fs::write(root.join(name), content).unwrap();
    }
    web.display().to_string()
}

#[test]
fn the_page_is_served_with_types_ranges_and_tags() {
    let root = tempfile::tempdir().unwrap();
    let web = page(root.path());
    let server = Server::start(&["--web", &web]);
    let index = server.get("/");
    assert_eq!((index.status, index.text()), (200, "<title>cppo</title>"));
    assert_eq!(index.header("content-type"), Some("text/html; charset=utf-8"));
    let wasm = "/assets/engine_bg.wasm?v=1";
    let whole = server.get(wasm);
    assert_eq!((whole.status, whole.text()), (200, "0123456789"));
    assert_eq!(whole.header("content-type"), Some("application/wasm"));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let tag = whole.header("etag").unwrap();
    let known = server.ask("GET", wasm, &format!("If-None-Match: \"x\", {tag}\r\n"), b"");
    assert_eq!((known.status, known.text()), (304, ""));
    let head = server.ask("HEAD", wasm, "", b"");
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
    let cases = [
        ("Range: bytes=2-4\r\n", 206, "234", Some("bytes 2-4/10")),
        ("Range: bytes=-3\r\n", 206, "789", Some("bytes 7-9/10")),
        ("Range: bytes=10-\r\n", 416, "", Some("bytes */10")),
        ("Range: bytes=2-4\r\nIf-Range: \"old\"\r\n", 200, "0123456789", None),
    ];
    for (headers, status, body, range) in cases {
        let reply = server.ask("GET", wasm, headers, b"");
        assert_eq!((reply.status, reply.text()), (status, body), "{headers}");
        assert_eq!(reply.header("content-range"), range, "{headers}");
    }
    let folder = server.get("/assets");
    assert_eq!((folder.status, folder.header("location")), (308, Some("assets/")));
    assert_eq!(server.ask("POST", "/", "", b"x").status, 405);
    for path in [
        "/missing.js",
        "/assets/",
        "/../secret",
        "/%2e%2e/secret",
        "/assets/..%2f..%2fsecret",
        "/.hidden",
        "//etc/passwd",
        "/models/demo/manifest.json",
        "/%00",
    ] {
        let reply = server.get(path);
        assert_eq!(reply.status, 404, "{path}: {reply:?}");
        assert!(!reply.text().contains("secret"), "{path}");
    }
}

#[test]
fn exported_models_are_listed_and_served() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("tiny");
    let export = ["export", "--out", out.to_str().unwrap(), "--quiet", "-m", &Server::model()];
    assert!(cppo(&export).output().unwrap().status.success());
    let server = Server::start(&["--models", root.path().to_str().unwrap()]);
    let list = server.get("/models/").json();
    assert_eq!(list[0]["path"], "/models/tiny/");
    assert_eq!(list.as_array().unwrap().len(), 1);
    let manifest = server.get("/models/tiny/manifest.json").json();
    assert_eq!(list[0]["manifest"], manifest);
    let shard = manifest["shards"][0]["name"].as_str().unwrap();
    let reply = server.get(&format!("/models/tiny/{shard}"));
    assert_eq!(reply.body, std::fs::read(out.join(shard)).unwrap());
}

#[test]
fn a_missing_page_says_how_to_build_it() {
    let server = Server::start(&["--web", "no/such/folder"]);
    let reply = server.get("/");
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("web/build"), "{}", reply.text());
    assert_eq!(server.get("/v1/models").status, 200);
}

#[test]
fn what_cannot_be_served_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let model = Server::model();
    let cases: [(&[&str], i32, &str); 3] = [
        (&["serve", "-m", &model, "--device", "cpu", "--port", &port], 1, &port),
        (&["serve", "--models", "no/such/folder"], 2, "no such folder"),
        (&["serve", "--host", "nowhere"], 2, "nowhere"),
    ];
    for (arguments, code, expected) in cases {
        let output = cppo(arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains(expected), "{expected:?} not in {message:?}");
    }
}
