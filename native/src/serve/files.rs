//! The built page and exported models, as files.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Shared;
use super::body::channel;
use super::picture::percent_decoded;

/// Bytes that are read from a file at a time.
const CHUNK: usize = 256 << 10;

/// What to do where there is no page.
pub fn unbuilt(web: &Path) -> String {
    format!(
        "the page is not in {}; build it with web/build, or name its folder with --web",
        web.display()
    )
}

/// Answers with a file: of exported models under `/models/`, else of the page.
pub async fn serve(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if method != Method::GET && method != Method::HEAD {
        let allow = [(header::ALLOW, "GET, HEAD")];
        return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
    }
    if uri.path() == "/models/" {
        return Json(listed(shared.models.as_deref())).into_response();
    }
    let (root, path) = match (uri.path().strip_prefix("/models/"), &*shared.models) {
        (Some(path), Some(models)) => (models.clone(), path),
        _ => (shared.web.to_path_buf(), uri.path().trim_start_matches('/')),
    };
    let Some(mut file) = resolved(&root, path) else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    if file.is_dir() {
        if !uri.path().ends_with('/') {
            // The name alone, as a path of two slashes would lead to another host.
            let name = uri.path().rsplit('/').next().unwrap_or_default();
            let location = [(header::LOCATION, format!("{name}/"))];
            return (StatusCode::PERMANENT_REDIRECT, location).into_response();
        }
        file.push("index.html");
    }
    match tokio::task::spawn_blocking(move || answer(&file, &method, &headers)).await {
        Ok(Some(response)) => response,
        _ if uri.path() == "/" => (StatusCode::NOT_FOUND, unbuilt(&root) + "\n").into_response(),
        _ => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
    }
}

/// Exported models by name, with their manifests.
fn listed(models: Option<&Path>) -> Value {
    let entries = models.and_then(|models| models.read_dir().ok()).into_iter().flatten().flatten();
    let mut found: Vec<(String, Value)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let manifest = std::fs::read(entry.path().join("manifest.json")).ok()?;
            Some((name, serde_json::from_slice(&manifest).ok()?))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let model =
        |(name, manifest)| json!({"path": format!("/models/{name}/"), "manifest": manifest});
    found.into_iter().map(model).collect()
}

/// The path under `root` that a URL names; None where it leads out of it or to a hidden file.
fn resolved(root: &Path, path: &str) -> Option<PathBuf> {
    let path = percent_decoded(path)?;
    let mut resolved = root.to_path_buf();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        // On Windows a backslash parts names, and a colon names a drive.
        if part.starts_with('.') || part.contains(['\\', ':', '\0']) {
            return None;
        }
        resolved.push(part);
    }
    Some(resolved)
}

fn answer(path: &Path, method: &Method, headers: &HeaderMap) -> Option<Response> {
    let file = File::open(path).ok()?;
    let metadata = file.metadata().ok().filter(Metadata::is_file)?;
    let (length, tag) = (metadata.len(), tag(&metadata));
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let shared = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, "no-cache".into()),
        (header::ACCEPT_RANGES, "bytes".into()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".into()),
    ];
    let known = text(header::IF_NONE_MATCH).is_some_and(|tags| {
        tags.split(',').any(|known| known.trim() == tag || known.trim() == "*")
    });
    if known {
        return Some((StatusCode::NOT_MODIFIED, shared).into_response());
    }
    let fresh = text(header::IF_RANGE).is_none_or(|known| known == tag);
    let range = text(header::RANGE).filter(|_| fresh && *method == Method::GET);
    let (status, range) = match range.map(|range| parse_range(range, length)) {
        None | Some(Asked::All) => (StatusCode::OK, 0..length),
        Some(Asked::Part(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(Asked::Nothing) => {
            let range = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            return Some((StatusCode::RANGE_NOT_SATISFIABLE, shared, range).into_response());
        }
    };
    let own = [
        (header::CONTENT_TYPE, kind(path).to_string()),
        (header::CONTENT_LENGTH, (range.end - range.start).to_string()),
    ];
    let content = (status == StatusCode::PARTIAL_CONTENT).then(|| {
        let (first, last) = (range.start, range.end - 1);
        [(header::CONTENT_RANGE, format!("bytes {first}-{last}/{length}"))]
    });
    let body = if *method == Method::HEAD { Body::empty() } else { read(file, range) };
    let mut response = (status, shared, own, body).into_response();
    for (name, value) in content.into_iter().flatten() {
        response.headers_mut().insert(name, value.parse().ok()?);
    }
    Some(response)
}

/// Changes whenever the file does.
fn tag(metadata: &Metadata) -> String {
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("\"{:x}-{:x}\"", metadata.len(), changed.unwrap_or_default().as_nanos())
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq)]
enum Asked {
    /// The whole file, also where the header says what this server does not do.
    All,
    Part(Range<u64>),
    /// What the file does not have.
    Nothing,
}

fn parse_range(text: &str, length: u64) -> Asked {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|text| text.split_once('-'))
    else {
        return Asked::All;
    };
    let range = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Ok(first), Err(_)) if last.trim().is_empty() => first..length,
        (Err(_), Ok(count)) if first.trim().is_empty() => length.saturating_sub(count)..length,
        _ => return Asked::All,
    };
    if range.is_empty() { Asked::Nothing } else { Asked::Part(range) }
}

/// A part of a file as a body.
fn read(mut file: File, range: Range<u64>) -> Body {
    let (sender, body) = channel();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = file.seek(SeekFrom::Start(range.start)) {
            let _ = sender.blocking_send(Err(error));
            return;
        }
        let mut left = (range.end - range.start) as usize;
        while left > 0 {
            let mut bytes = vec![0; left.min(CHUNK)];
            let read = file.read_exact(&mut bytes).map(|()| bytes.into());
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
            left -= left.min(CHUNK);
        }
    });
    body
}

/// The media type that a file's name says.
fn kind(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    match extension.to_ascii_lowercase().as_str() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" | "jinja" | "ts" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_its_folder() {
        let root = Path::new("/srv/page");
        let cases = [
            ("", Some("/srv/page")),
            ("a/b.js", Some("/srv/page/a/b.js")),
            ("a//b%20c.js", Some("/srv/page/a/b c.js")),
            ("//etc/passwd", Some("/srv/page/etc/passwd")),
            ("../x", None),
            ("a/%2e%2e/%2e%2e/x", None),
            ("a/..%2fx", None),
            ("a\\..\\x", None),
            ("c:/x", None),
            (".git/config", None),
            ("a%00", None),
            ("%zz", None),
            ("%", None),
        ];
        for (path, expected) in cases {
            assert_eq!(resolved(root, path), expected.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn ranges_are_read_as_http_says() {
        let cases = [
            ("bytes=0-9", Asked::Part(0..10)),
            ("bytes=90-", Asked::Part(90..100)),
            ("bytes=-5", Asked::Part(95..100)),
            ("bytes=-500", Asked::Part(0..100)),
            ("bytes=99-1000", Asked::Part(99..100)),
            ("bytes=100-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=200-300", Asked::Nothing),
            ("bytes=9-0", Asked::All),
            ("bytes=0-1,3-4", Asked::All),
            ("lines=0-1", Asked::All),
            ("bytes=-", Asked::All),
            ("bytes=0-18446744073709551615", Asked::Part(0..100)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_range(text, 100), expected, "{text}");
        }
    }
}
