//! An image column to pictures: bytes, base64 and paths.
//!
//! A relative path begins at `data.image_dir`, or at the data file's folder, and may not lead out
//! of it, so that a data set from elsewhere reads nothing beside itself. An absolute path is taken
//! as it stands: verl's scripts write them into a user's own files. Either must be a regular file.

use std::path::{Component, Path, PathBuf};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::cell::Cell;
use super::sample::{Picture, check_file};

/// Standard base64, its padding optional.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How base64 of PNG, JPEG, GIF, WebP and BMP files begins.
const BASE64_STARTS: [&str; 5] = ["iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "Qk"];

/// Reads one picture or a list of them.
///
/// # Errors
///
/// When the cell holds something else, a path leads nowhere, or base64 is damaged.
pub(crate) fn pictures(cell: &Cell, folder: &Path) -> Result<Vec<Picture>, String> {
    match cell {
        Cell::Null => Ok(Vec::new()),
        Cell::List(cells) => cells
            .iter()
            .enumerate()
            .map(|(index, cell)| {
                picture(cell, folder).map_err(|message| format!("image {}: {message}", index + 1))
            })
            .collect(),
        one => Ok(vec![picture(one, folder)?]),
    }
}

fn picture(cell: &Cell, folder: &Path) -> Result<Picture, String> {
    match cell {
        Cell::Bytes(bytes) => Ok(Picture::Bytes(bytes.clone())),
        Cell::Text(text) => from_text(text, folder),
        Cell::Struct(_) => match (cell.at("bytes"), cell.at("path")) {
            (Some(Cell::Bytes(bytes)), _) => Ok(Picture::Bytes(bytes.clone())),
            (Some(Cell::Text(text)), _) => from_base64(text),
            (_, Some(Cell::Text(path))) => from_path(path, folder),
            _ => Err("neither bytes nor path; store one of them".into()),
        },
        other => Err(format!(
            "{}; a picture is bytes, base64, a path or {{\"bytes\", \"path\"}}",
            other.kind()
        )),
    }
}

/// Text is a `data:` URI, base64 (which has no `.`, as file names have), or a path.
fn from_text(text: &str, folder: &Path) -> Result<Picture, String> {
    if let Some(uri) = text.strip_prefix("data:") {
        return match uri.split_once(";base64,") {
            Some((_, base64)) => from_base64(base64),
            None => Err("a data: URI that is not base64; write data:image/png;base64,…".into()),
        };
    }
    let is_base64 = BASE64_STARTS.iter().any(|start| text.starts_with(start));
    if is_base64 && !text.contains('.') { from_base64(text) } else { from_path(text, folder) }
}

fn from_base64(text: &str) -> Result<Picture, String> {
    let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes = BASE64.decode(compact).map_err(|error| {
        let what = error.to_string();
        format!("damaged base64: {}; encode the picture again", what.trim_end_matches('.'))
    })?;
    Ok(Picture::Bytes(bytes))
}

fn from_path(text: &str, folder: &Path) -> Result<Picture, String> {
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err(format!("{text} is not downloaded; store the picture or its path"));
    }
    let path = resolve(text.strip_prefix("file://").unwrap_or(text), folder)?;
    check_file(&path).map_err(|error| error.to_string())?;
    Ok(Picture::Path(path))
}

fn resolve(text: &str, folder: &Path) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if path.is_absolute() {
        return Ok(path.to_path_buf());
    }
    let mut depth = 0usize;
    for component in path.components() {
        depth = match component {
            Component::Normal(_) => Some(depth + 1),
            Component::CurDir => Some(depth),
            Component::ParentDir => depth.checked_sub(1),
            Component::Prefix(_) | Component::RootDir => None,
        }
        .ok_or_else(|| {
            format!(
                "{text} leads out of {}; set data.image_dir to a folder that holds all pictures",
                folder.display()
            )
        })?;
    }
    Ok(folder.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, folder: &Path) -> Result<Vec<Picture>, String> {
        pictures(&serde_json::from_str(json).unwrap(), folder)
    }

    #[test]
    fn pictures_are_read_in_every_form() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::create_dir(folder.join("a")).unwrap();
        let file = folder.join("a/x.png");
        std::fs::write(&file, b"\x89PNG\r\n\x1a\n!").unwrap();
        let bytes = || Picture::Bytes(b"\x89PNG\r\n\x1a\n!".to_vec());
        let path = |text: &str| Picture::Path(folder.join(text));
        let absolute = serde_json::to_string(&file).unwrap();
        let cases = [
            ("null", vec![]),
            ("[]", vec![]),
            (r#""data:image/png;base64,iVBORw0KGgoh""#, vec![bytes()]),
            (r#""iVBORw0KGgoh""#, vec![bytes()]),
            (r#""iVBORw0KGgo\nh""#, vec![bytes()]),
            (r#"{"bytes": "iVBORw0KGgoh", "path": "gone.png"}"#, vec![bytes()]),
            (r#"{"bytes": null, "path": "a/x.png"}"#, vec![path("a/x.png")]),
            (r#"["a/x.png", "a/../a/x.png"]"#, vec![path("a/x.png"), path("a/../a/x.png")]),
            (&absolute, vec![path("a/x.png")]),
        ];
        for (json, expected) in cases {
            assert_eq!(read(json, folder).unwrap(), expected, "{json}");
        }
        let cell = Cell::Struct(vec![("bytes".into(), Cell::Bytes(b"x".to_vec()))]);
        for cell in [cell, Cell::Bytes(b"x".to_vec())] {
            assert_eq!(pictures(&cell, folder).unwrap(), [Picture::Bytes(b"x".to_vec())]);
        }
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        let cases = [
            ("3", "a number"),
            ("[[]]", "image 1: a list"),
            ("[null]", "image 1: null"),
            (r#"{"bytes": null, "path": null}"#, "neither bytes nor path"),
            (r#"["data:image/png,x"]"#, "not base64"),
            (r#""iVBORw0KGgo*""#, "damaged base64"),
            (r#"{"bytes": "a!"}"#, "damaged base64"),
            (r#""https://example.org/a.png""#, "not downloaded"),
            (r#""a.png""#, "image_dir"),
            (r#""sub""#, "not a regular file"),
            (r#""../a.png""#, "leads out of"),
            (r#""sub/../../a.png""#, "leads out of"),
        ];
        for (json, expected) in cases {
            let error = read(json, folder.path()).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
