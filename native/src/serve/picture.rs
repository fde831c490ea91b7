//! Pictures that a request brings along or names.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The bytes behind a `data:` URL, or a `file:` URL within `folder`.
///
/// # Errors
///
/// Says what is wrong with the URL; nothing tells whether a file outside the folder exists.
pub fn fetch(url: &str, folder: Option<&Path>) -> Result<Vec<u8>, String> {
    if let Some(data) = url.strip_prefix("data:") {
        let (kind, data) = data.split_once(',').ok_or("a data: URL needs a comma")?;
        if !kind.ends_with(";base64") {
            return Err("pictures in data: URLs must be base64".into());
        }
        return STANDARD.decode(data.trim()).map_err(|error| format!("base64: {error}"));
    }
    let Some(path) = url.strip_prefix("file:") else {
        return Err("pictures must be data: URLs; this server fetches nothing".into());
    };
    let folder = folder.ok_or("file: URLs need `cppo serve --images FOLDER`")?;
    let outside = || "the file is not in the folder of --images".to_string();
    let path = path.strip_prefix("//localhost").or(path.strip_prefix("//")).unwrap_or(path);
    let path: PathBuf = percent_decoded(path).ok_or_else(outside)?.into();
    // A relative path starts in the folder; an absolute one replaces it.
    let path = folder.join(path).canonicalize().map_err(|_| outside())?;
    if !path.starts_with(folder) || !path.is_file() {
        return Err(outside());
    }
    std::fs::read(path).map_err(|error| error.to_string())
}

/// Text with `%XX` read as bytes; None where that is not UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                rest = tail;
                let digit = |byte: &u8| (*byte as char).to_digit(16);
                (digit(high)? * 16 + digit(low)?) as u8
            }
            (b'%', _) => return None,
            (byte, _) => *byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_folder_are_read() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let folder = root.join("pictures");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a b.png"), "inside").unwrap();
        std::fs::write(root.join("secret"), "outside").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.join("secret"), folder.join("link")).unwrap();
        let inside = folder.display();
        let cases = [
            ("file:a%20b.png".to_string(), true),
            (format!("file://{inside}/a%20b.png"), true),
            (format!("file://localhost{inside}/a b.png"), true),
            ("file:../secret".into(), false),
            ("file:%2e%2e/secret".into(), false),
            (format!("file://{}/secret", root.display()), false),
            ("file:link".into(), false),
            ("file:".into(), false),
            ("file:%ff".into(), false),
            ("file:/etc/passwd".into(), false),
        ];
        for (url, found) in cases {
            let result = fetch(&url, Some(&folder));
            assert_eq!(result.is_ok(), found, "{url}: {result:?}");
            assert!(fetch(&url, None).is_err());
        }
    }

    #[test]
    fn data_urls_hold_base64() {
        assert_eq!(fetch("data:image/png;base64,aGk=", None).unwrap(), b"hi");
        for url in ["data:image/png,hi", "data:;base64", "data:;base64,%", "http://x/y.png", ""] {
            assert!(fetch(url, None).is_err(), "{url}");
        }
    }
}
