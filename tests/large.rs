//! Memory for reading a large data set: that of some rows, however many there are.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use image::RgbImage;
use processor::Message;
use serde_json::Value;
use trainer::config::DataConfig;
use trainer::data::{
    Dataset, ImageStore, JsonLinesWriter, Loader, Mapping, ParquetWriter, Picture, Sample, Source,
};

use crate::commands::cppo;
use crate::reference::processor;

/// Bytes of a picture file.
const PICTURE: usize = 256 << 10;

/// A row whose picture cannot be compressed: a small one with noise behind its end.
fn row(index: u64, small: &[u8]) -> Sample {
    let mut bytes = small.to_vec();
    let mut state = index;
    while bytes.len() < PICTURE {
        state = (state ^ (state >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        bytes.extend((state >> 8).to_le_bytes());
    }
    Sample {
        prompt: vec![Message::user(1, format!("Question {index}?"))],
        images: vec![Picture::Bytes(bytes)],
        answer: index.to_string(),
        response: None,
        seen: vec![],
        source: "large".into(),
    }
}

/// The peak of a process's memory so far, in MB.
fn peak(process: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()? / 1e3)
}

/// Peak memory in MB of `cppo data inspect`, which reads every row in order, and the rows it found.
fn inspected(path: &Path) -> (f64, u64) {
    let mut child = cppo(&["data", "inspect", path.to_str().unwrap(), "--json", "--rows", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (process, mut highest) = (child.id().to_string(), 0.0);
    while child.try_wait().unwrap().is_none() {
        highest = peak(&process).unwrap_or(highest);
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["unusable"]["rows"], 0);
    (highest, found["rows"].as_u64().unwrap())
}

/// Peak memory in MB of this process while a loader hands out so many rows in random order, and
/// how many a second.
fn loaded(path: &Path, rows: usize) -> (f64, f64) {
    let dataset = Dataset::open(path, &Mapping::default(), None).unwrap();
    let mut loader = Loader::new(Source::Files(Box::new(dataset)), &DataConfig::default());
    let processor = Arc::new(processor());
    // Forgets the peak until now.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let started = Instant::now();
    for _ in 0..rows / 8 {
        assert_eq!(loader.next(8, &processor).unwrap().len(), 8);
    }
    (peak("self").unwrap(), rows as f64 / started.elapsed().as_secs_f64())
}

/// `CPPO_LARGE_MB` is the size of each file, 5000 by default.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "writes files of 5 GB"]
fn a_large_data_set_is_read_in_the_memory_of_a_small_one() {
    let wanted = std::env::var("CPPO_LARGE_MB").ok().and_then(|text| text.parse().ok());
    let (small, large) = (500, wanted.unwrap_or(5000u64));
    let folder = tempfile::tempdir().unwrap();
    let mut picture = std::io::Cursor::new(Vec::new());
    RgbImage::new(64, 64).write_to(&mut picture, image::ImageFormat::Jpeg).unwrap();
    let picture = picture.into_inner();
    for name in ["a.parquet", "a.jsonl"] {
        let measure = |megabytes: u64| {
            let path = folder.path().join(name);
            // Base64 makes four bytes of three.
            let stored = if name == "a.jsonl" { PICTURE * 4 / 3 } else { PICTURE };
            let rows = megabytes * 1_000_000 / stored as u64;
            let samples = (0..rows).map(|index| row(index, &picture));
            match name {
                "a.jsonl" => {
                    let mut writer = JsonLinesWriter::create(&path, ImageStore::Inline).unwrap();
                    samples.for_each(|sample| writer.write(&sample).unwrap());
                    writer.finish().unwrap();
                }
                _ => {
                    let mut writer = ParquetWriter::create(&path).unwrap();
                    samples.for_each(|sample| writer.write(&sample).unwrap());
                    writer.finish().unwrap();
                }
            }
            let bytes = std::fs::metadata(&path).unwrap().len();
            let (in_order, found) = inspected(&path);
            assert_eq!(found, rows);
            let (shuffled, rate) = loaded(&path, 400);
            println!(
                "{name}: {:.2} GB, {rows} rows: {in_order:.0} MB in order, {shuffled:.0} MB and \
                 {rate:.0} rows/s shuffled",
                bytes as f64 / 1e9
            );
            std::fs::remove_file(&path).unwrap();
            (in_order, shuffled)
        };
        let (first, second) = (measure(small), measure(large));
        for (few, many) in [(first.0, second.0), (first.1, second.1)] {
            assert!(many < 1.2 * few + 50.0, "{many} MB, {few} MB for {small} MB");
        }
    }
}
