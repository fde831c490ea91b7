//! Metrics as JSON lines, one object per step: `{"step":3,"actor/pg_loss":0.1, …}`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use tempfile::NamedTempFile;

use super::Metrics;

/// Appends lines to `metrics.jsonl`.
#[derive(Debug)]
pub struct JsonlWriter {
    file: File,
}

impl JsonlWriter {
    /// Opens or creates the file; a torn last line, left by a crash, is dropped.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        truncate_after(path, u64::MAX)?;
        Ok(Self { file: OpenOptions::new().create(true).append(true).open(path)? })
    }

    /// Writes a step's line at once; numbers that JSON lacks (NaN, infinity) become null.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&mut self, step: u64, metrics: &Metrics) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line { step, metrics })?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

struct Line<'a> {
    step: u64,
    metrics: &'a Metrics,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("step", &self.step)?;
        for (name, value) in self.metrics.iter().filter(|(name, _)| *name != "step") {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

/// Drops the lines of steps after `step`, before these steps run again on resume, and lines that
/// are not whole.
///
/// The file is replaced by rename, so that a crash leaves the old one or the new one; where nothing
/// is dropped, or there is no file, nothing is written.
///
/// # Errors
///
/// When the file cannot be read or replaced.
pub fn truncate_after(path: &Path, step: u64) -> io::Result<()> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let permissions = file.metadata()?.permissions();
    let mut lines = BufReader::new(file);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let kept = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    let mut writer = BufWriter::new(kept);
    let (mut line, mut dropped) = (Vec::new(), false);
    while lines.read_until(b'\n', &mut line)? > 0 {
        match step_of(&line) {
            Some(of_line) if of_line <= step => writer.write_all(&line)?,
            _ => dropped = true,
        }
        line.clear();
    }
    if !dropped {
        return Ok(());
    }
    drop(lines);
    let kept = writer.into_inner()?;
    kept.as_file().set_permissions(permissions)?;
    kept.as_file().sync_all()?;
    kept.persist(path)?;
    Ok(())
}

/// The step of a whole line.
fn step_of(line: &[u8]) -> Option<u64> {
    let line: Value = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
    line.get("step")?.as_u64()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_hold_the_step_and_null_for_what_json_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut writer = JsonlWriter::open(&path).unwrap();
        let metrics = [
            ("actor/pg_loss", 0.1),
            ("step", 9.0),
            ("timing_s/gen", 2.0),
            ("x/\"y", f64::NAN),
            ("z", f64::NEG_INFINITY),
        ];
        writer.write(3, &Metrics::from_iter(metrics)).unwrap();
        writer.write(4, &Metrics::default()).unwrap();
        let expected = concat!(
            r#"{"step":3,"actor/pg_loss":0.1,"timing_s/gen":2.0,"x/\"y":null,"z":null}"#,
            "\n",
            r#"{"step":4}"#,
            "\n"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn truncation_keeps_whole_lines_up_to_the_step() {
        let one = "{\"step\":1,\"a\":1.5}\n";
        let two = "{\"step\":2,\"a\":null}\n";
        let three = "{\"a\":2,\"step\":3}\n";
        let all = [one, two, three].concat();
        let cases = [
            (all.clone(), 2, [one, two].concat()),
            (all.clone(), 0, String::new()),
            (all.clone(), 9, all.clone()),
            (String::new(), 9, String::new()),
            ([one, "{\"step\":2"].concat(), 9, one.into()),
            ([one, two.trim_end()].concat(), 9, one.into()),
            ([one, "\0\0\n\n[2]\n{\"a\":1}\n", two].concat(), 9, [one, two].concat()),
            ([one, three, two].concat(), 2, [one, two].concat()),
        ];
        for (before, step, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("metrics.jsonl");
            fs::write(&path, &before).unwrap();
            truncate_after(&path, step).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{before} {step}");
            let mut writer = JsonlWriter::open(&path).unwrap();
            writer.write(step + 1, &Metrics::default()).unwrap();
            let after = format!("{expected}{{\"step\":{}}}\n", step + 1);
            assert_eq!(fs::read_to_string(&path).unwrap(), after, "{before} {step}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{before} {step}");
        }
    }

    #[test]
    fn a_torn_line_is_dropped_on_opening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, "{\"step\":1}\n{\"ste").unwrap();
        JsonlWriter::open(&path).unwrap().write(2, &Metrics::default()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\":1}\n{\"step\":2}\n");
        assert!(JsonlWriter::open(&folder.path().join("none/metrics.jsonl")).is_err());
    }
}
