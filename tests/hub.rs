//! Downloading models and data sets, from a small server on this machine that speaks the hub's
//! protocol.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::commands::cppo;
use crate::reference::folder;

/// The files of the data set `some/data`: a name in the repository, and one in this one.
const DATA: [(&str, &str); 5] = [
    ("README.md", "README.md"),
    ("data/train-00000-of-00001.parquet", "geometry3k.parquet"),
    ("data/test-00000-of-00001.parquet", "verl.parquet"),
    ("dataset_infos.json", "README.md"),
    ("../../train-00000-of-00001.parquet", "geometry3k.parquet"),
];

fn data_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/trainer/tests/data").join(name)
}

/// Serves the reference model as `some/model` and data as `some/data`, and keeps the lines and headers it was asked; where
/// asked to, the first connection for the weights breaks in the middle.
fn serve(breaks: bool) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let breaks = Arc::new(AtomicBool::new(breaks));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (log, breaks) = (log.clone(), breaks.clone());
            std::thread::spawn(move || answer(stream, &log, &breaks));
        }
    });
    (endpoint, asked)
}

fn answer(mut stream: TcpStream, log: &Mutex<Vec<String>>, breaks: &AtomicBool) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut request = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        request.push(line.trim().to_string());
    }
    let first = request.first()?.clone();
    log.lock().ok()?.extend(request.clone());
    let path = first.split(' ').nth(1)?.to_string();
    let (mut status, mut body) = ("200 OK", Vec::new());
    let mut extra = String::new();
    if path.starts_with("/api/models/some/model") {
        let names = folder().join("model").read_dir().ok()?.flatten();
        let siblings: Vec<_> = names
            .map(|entry| serde_json::json!({"rfilename": entry.file_name().to_str()}))
            .collect();
        body = serde_json::json!({"sha": "0123abcd", "siblings": siblings}).to_string().into();
    } else if path.starts_with("/api/datasets/some/data") {
        let siblings = DATA.map(|(name, _)| serde_json::json!({"rfilename": name}));
        body = serde_json::json!({"sha": "4567efab", "siblings": siblings}).to_string().into();
    } else if let Some((file, name)) = file(&path) {
        match std::fs::read(file) {
            Ok(bytes) => body = bytes,
            Err(_) => status = "404 Not Found",
        }
        let header = |name: &str| {
            request.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_string())
            })
        };
        if let Some(range) = header("range") {
            let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
            let start: usize = start.parse().ok()?;
            let last = end.parse::<usize>().unwrap_or(usize::MAX).min(body.len() - 1);
            extra = format!("Content-Range: bytes {start}-{last}/{}\r\n", body.len());
            body = body[start..=last].to_vec();
            status = "206 Partial Content";
        }
        let commit = if path.starts_with("/datasets") { "4567efab" } else { "0123abcd" };
        extra += &format!("ETag: \"{name}\"\r\nX-Repo-Commit: {commit}\r\n");
    } else {
        status = "404 Not Found";
    }
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{extra}Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    if first.starts_with("HEAD") {
        body.clear();
    } else if path.ends_with(".safetensors") && length > 1 && breaks.swap(false, Ordering::Relaxed)
    {
        body.truncate(length / 2);
    }
    stream.write_all(&body).ok()?;
    stream.flush().ok()
}

/// The file that an address means, and its name in its repository; only of the revision listed.
fn file(path: &str) -> Option<(PathBuf, &str)> {
    if let Some(name) = path.strip_prefix("/some/model/resolve/0123abcd/") {
        return Some((folder().join("model").join(name), name));
    }
    let name = path.strip_prefix("/datasets/some/data/resolve/4567efab/")?;
    let (_, stored) = DATA.into_iter().find(|(other, _)| *other == name)?;
    Some((data_file(stored), name))
}

#[test]
fn a_hub_model_is_downloaded_once_and_answers() {
    let (endpoint, asked) = serve(false);
    let cache = tempfile::tempdir().unwrap();
    let run = |model: &str| {
        cppo(&["infer", "-m", model, "--device", "cpu", "--max-new-tokens", "3", "hi"])
            .env("HF_ENDPOINT", &endpoint)
            .env("HF_HOME", cache.path())
            .env("HF_TOKEN", "secret")
            .output()
            .unwrap()
    };
    let output = run("some/model");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(asked.lock().unwrap().iter().any(|line| line.ends_with("Bearer secret")));

    asked.lock().unwrap().clear();
    assert_eq!(run("some/model").stdout, output.stdout);
    let again = asked.lock().unwrap().clone();
    assert!(!again.iter().any(|line| line.contains("model.safetensors")), "{again:?}");

    let missing = run("some/other");
    assert_eq!(missing.status.code(), Some(1));
    let message = String::from_utf8_lossy(&missing.stderr).to_string();
    assert!(message.contains("some/other") && message.contains("404"), "{message}");
}

#[test]
fn a_download_that_breaks_goes_on_where_it_stopped() {
    let (endpoint, asked) = serve(true);
    let cache = tempfile::tempdir().unwrap();
    let run = || {
        cppo(&["infer", "-m", "some/model", "--device", "cpu", "--max-new-tokens", "3", "hi"])
            .env("HF_ENDPOINT", &endpoint)
            .env("HF_HOME", cache.path())
            .output()
            .unwrap()
    };
    let mut output = run();
    if !output.status.success() {
        output = run();
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let size = std::fs::metadata(folder().join("model/model.safetensors")).unwrap().len();
    let asked = asked.lock().unwrap();
    let starts: Vec<u64> = asked
        .iter()
        .filter_map(|line| {
            line.to_lowercase().strip_prefix("range: bytes=")?.split('-').next()?.parse().ok()
        })
        .collect();
    assert!(starts.iter().any(|&start| start > 0 && start <= size / 2), "{starts:?}");
}

#[test]
fn a_split_of_a_data_set_is_downloaded_once_and_read_as_from_disk() {
    let (endpoint, asked) = serve(false);
    let (cache, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = |arguments: &[&str]| {
        cppo(arguments)
            .current_dir(work.path())
            .env("HF_ENDPOINT", &endpoint)
            .env("HF_HOME", cache.path())
            .output()
            .unwrap()
    };
    let inspect = |name: &str| {
        let output = run(&["data", "inspect", name, "--json"]);
        let message = String::from_utf8_lossy(&output.stderr).to_string();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).map_err(|_| message)
    };
    let local = |name: &str| {
        let path = data_file(name);
        let samples = inspect(path.to_str().unwrap()).unwrap()["samples"].clone();
        assert!(samples.as_array().is_some_and(|samples| !samples.is_empty()), "{name}");
        samples
    };
    assert_eq!(inspect("some/data").unwrap()["samples"], local("geometry3k.parquet"));
    assert_eq!(inspect("some/data@test").unwrap()["samples"], local("verl.parquet"));
    assert_eq!(inspect("some/data/data@train").unwrap()["layout"]["prompt"], "problem");
    asked.lock().unwrap().clear();
    inspect("some/data@train").unwrap();
    let again = asked.lock().unwrap().clone();
    assert!(again.iter().all(|line| !line.contains(".parquet")), "{again:?}");

    let error = inspect("some/data@dev").unwrap_err();
    assert!(error.contains("some/data@dev: has no split dev; it has test, train"), "{error}");
    let error = inspect("some/other").unwrap_err();
    assert!(error.contains("some/other: there is no such file or folder here"), "{error}");
    assert!(error.contains("404"), "{error}");
    let error = run(&["data", "inspect", "some/none.parquet"]);
    assert!(String::from_utf8_lossy(&error.stderr).contains("No such file"), "{error:?}");

    let out = run(&["data", "convert", "some/data@test", "out.jsonl"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let trained = run(&[
        "train",
        "data.train=some/data@test",
        "--device=cpu",
        "trainer.total_steps=1",
        "trainer.eval_every=0",
        "trainer.batch_prompts=2",
        "trainer.mini_batch_prompts=2",
        "rollout.n=2",
        "rollout.max_response_tokens=4",
        "data.max_prompt_tokens=512",
    ]);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));

    // What is on disk goes before.
    std::fs::create_dir_all(work.path().join("some/data")).unwrap();
    std::fs::copy(work.path().join("out.jsonl"), work.path().join("some/data/a.jsonl")).unwrap();
    asked.lock().unwrap().clear();
    assert_eq!(inspect("some/data").unwrap()["samples"], local("verl.parquet"));
    assert_eq!(asked.lock().unwrap().len(), 0);
}

#[test]
fn what_was_downloaded_is_there_without_a_network() {
    let (endpoint, asked) = serve(false);
    let (cache, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = |arguments: &[&str], endpoint: &str, offline: &str| {
        let output = cppo(arguments)
            .current_dir(work.path())
            .env("HF_ENDPOINT", endpoint)
            .env("HF_HOME", cache.path())
            .env("HF_HUB_OFFLINE", offline)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_string();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let inspect = ["data", "inspect", "some/data@train", "--json"];
    let infer = ["infer", "-m", "some/model", "--device", "cpu", "--max-new-tokens", "3", "hi"];
    let nowhere = "http://127.0.0.1:9";

    // Nothing is known yet.
    for arguments in [&inspect[..], &infer] {
        let (code, _, message) = run(arguments, &endpoint, "1");
        assert_eq!(code, Some(1), "{message}");
        assert!(message.contains("is not in the cache"), "{message}");
        assert!(message.contains("HF_HUB_OFFLINE forbids to ask the hub"), "{message}");
        let (code, _, message) = run(arguments, nowhere, "");
        assert_eq!(code, Some(1), "{message}");
        assert!(message.contains("check the name, the network and HF_TOKEN"), "{message}");
    }
    assert_eq!(asked.lock().unwrap().len(), 0);

    for arguments in [&inspect[..], &infer] {
        let online = run(arguments, &endpoint, "0");
        assert_eq!(online.0, Some(0), "{}", online.2);
        asked.lock().unwrap().clear();
        let offline = run(arguments, &endpoint, "1");
        assert_eq!(offline, (Some(0), online.1.clone(), online.2.clone()));
        assert_eq!(asked.lock().unwrap().len(), 0);
        let (code, found, message) = run(arguments, nowhere, "");
        assert_eq!((code, found), (Some(0), online.1), "{message}");
        assert!(message.contains("going on with what is in the cache"), "{message}");
    }
    // The other split is known, but was not asked for.
    let (code, _, message) = run(&["data", "inspect", "some/data@test"], &endpoint, "1");
    assert_eq!(code, Some(1), "{message}");
    let missing = "data/test-00000-of-00001.parquet of some/data is not in the cache";
    assert!(message.contains(missing), "{message}");

    // Another program keeps no list; a data set of which a file is missing is refused.
    let folder = cache.path().join("hub/datasets--some--data");
    std::fs::remove_dir_all(folder.join("listings")).unwrap();
    assert_eq!(run(&inspect, &endpoint, "1").0, Some(0));
    let snapshot = folder.join("snapshots/4567efab/data");
    let part = snapshot.join("train-00000-of-00002.parquet");
    std::fs::rename(snapshot.join("train-00000-of-00001.parquet"), part).unwrap();
    let (code, _, message) = run(&inspect, &endpoint, "1");
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("incomplete in the cache"), "{message}");
}
