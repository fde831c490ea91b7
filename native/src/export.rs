//! `cppo export`

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use burn::tensor::{DType, Device};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use qwen2_5_vl::weights::{Export, Storage};
use qwen2_5_vl::{Quantization, WeightsError};
use serde_json::{Value, json};
use session::SelfTest;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use trainer::atomic;
use trainer::pretrained::ModelFiles;

use crate::failure::{Failure, about};
use crate::infer::print;
use crate::interrupt::on_interrupt;
use crate::pretrained::{self, Named};

/// Arguments of `cppo export`.
#[derive(Args)]
pub struct ExportCommand {
    /// Folder in Hugging Face layout, or hub id; by default the small demo model
    #[arg(long, short)]
    model: Option<String>,
    /// Folder to write
    #[arg(long, short)]
    out: PathBuf,
    /// Folder of an adapter in PEFT's format to merge into the model
    #[arg(long, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    /// Write a Hugging Face folder, in f32, with the adapter merged into the weights
    #[arg(long, conflicts_with_all = ["dtype", "shard_mb", "name", "no_selftest", "json"])]
    merge: bool,
    /// f32, f16, or matrices in blocks of 8 or 4 bits
    #[arg(long, default_value = "q4")]
    dtype: ExportDtype,
    /// Largest file, in MiB
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1024))]
    shard_mb: u64,
    /// Name of the model in the page; by default that of its folder
    #[arg(long)]
    name: Option<String>,
    /// Replace what is in the folder
    #[arg(long)]
    overwrite: bool,
    /// Leave out the self-test, for which the model is loaded on the CPU in f32
    #[arg(long)]
    no_selftest: bool,
    /// Print the manifest as one JSON object
    #[arg(long)]
    json: bool,
    /// No progress, only errors
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExportDtype {
    F32,
    F16,
    Q8,
    Q4,
}

impl From<ExportDtype> for Storage {
    fn from(dtype: ExportDtype) -> Self {
        match dtype {
            ExportDtype::F32 => Self::F32,
            ExportDtype::F16 => Self::F16,
            ExportDtype::Q8 => Self::Quantized(Quantization::Q8),
            ExportDtype::Q4 => Self::Quantized(Quantization::Q4),
        }
    }
}

impl ExportCommand {
    pub fn run(&self) -> Result<(), Failure> {
        if !self.overwrite && is_occupied(&self.out).map_err(about(self.out.display()))? {
            return Err(Failure::usage(format!(
                "{} is not empty; --overwrite replaces what is there",
                self.out.display()
            )));
        }
        let named = pretrained::named(self.model.as_deref(), self.adapter.as_deref(), !self.quiet)?;
        let parent = atomic::folder_of(&self.out);
        std::fs::create_dir_all(parent).map_err(about(parent.display()))?;
        let temporary = || atomic::folder_beside(&self.out).map_err(about(self.out.display()));
        let merged = match named.adapter {
            Some(_) => Some(merge(&named, temporary()?)?),
            None => None,
        };
        if self.merge {
            let merged = merged.ok_or_else(|| {
                Failure::usage("--merge needs an adapter: give --adapter, or its folder as --model")
            })?;
            replace(merged, &self.out).map_err(about(self.out.display()))?;
            if !self.quiet {
                print(&format!("{}: a model with the adapter merged\n", self.out.display()));
            }
            return Ok(());
        }
        let files = match &merged {
            Some(folder) => ModelFiles::Folder(folder.path().into()),
            None => named.files,
        };
        let parts = files.parts()?;
        let mut checkpoint = files.checkpoint()?;
        let export = checkpoint
            .export(&parts.config, self.dtype.into(), self.shard_mb << 20)
            .map_err(about(files.name()))?;

        let temporary = temporary()?;
        let progress = self.progress(&export);
        let stop = on_interrupt("");
        let mut shards = Vec::new();
        for file in &export.files {
            let path = temporary.path().join(&file.name);
            let mut output = HashingFile::create(&path).map_err(about(path.display()))?;
            let written = checkpoint.write(file, &mut output, |bytes| {
                progress.inc(bytes);
                match stop.load(Ordering::Relaxed) {
                    true => Err(std::io::ErrorKind::Interrupted.into()),
                    false => Ok(()),
                }
            });
            if stop.load(Ordering::Relaxed) {
                return Err(Failure { message: "stopped; nothing is left".into(), code: 130 });
            }
            written.map_err(|error| unwritten(error, &self.out))?;
            shards.push(output.finish(&file.name).map_err(about(path.display()))?);
        }
        let mut small = Vec::new();
        let needed = |name: &str| session::FILES.contains(&name);
        for (name, bytes) in parts.companions.iter().filter(|(name, _)| needed(name)) {
            let path = temporary.path().join(name);
            let mut output = HashingFile::create(&path).map_err(about(path.display()))?;
            output.write_all(bytes).map_err(about(path.display()))?;
            small.push(output.finish(name).map_err(about(path.display()))?);
        }
        let mut manifest = self.manifest(&export, small, shards);
        let path = temporary.path().join("manifest.json");
        let write = |manifest: &Value| {
            std::fs::write(&path, format!("{manifest:#}\n")).map_err(about(path.display()))
        };
        write(&manifest)?;
        if !self.no_selftest {
            manifest["selftest"] = json!(selftest(temporary.path())?);
            write(&manifest)?;
        }
        replace(temporary, &self.out).map_err(about(self.out.display()))?;
        progress.finish_and_clear();
        self.report(&manifest);
        Ok(())
    }

    fn progress(&self, export: &Export) -> ProgressBar {
        if self.quiet || self.json || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(export.files.iter().map(|file| file.bytes).sum());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {eta}") {
            bar.set_style(style);
        }
        bar
    }

    fn manifest(&self, export: &Export, small: Vec<Value>, shards: Vec<Value>) -> Value {
        let own = || pretrained::short_name(self.model.as_deref().unwrap_or(""));
        let name = self.name.clone().unwrap_or_else(own);
        let bytes = small.iter().chain(&shards).filter_map(|file| file["bytes"].as_u64());
        let download: u64 = bytes.sum();
        json!({
            "format": "cppo-web-1",
            "name": name,
            "dtype": format!("{:?}", self.dtype).to_lowercase(),
            "parameters": export.parameters,
            "files": small,
            "shards": shards,
            "requirements": {
                "download_bytes": download,
                "device_bytes": export.device_bytes,
                "largest_buffer_bytes": export.largest_buffer_bytes,
            },
        })
    }

    fn report(&self, manifest: &Value) {
        if self.json {
            print(&format!("{manifest}\n"));
        } else if !self.quiet {
            let mib = |bytes: &Value| bytes.as_u64().unwrap_or(0) as f64 / f64::from(1 << 20);
            let shards = manifest["shards"].as_array().map_or(0, Vec::len);
            print(&format!(
                "{}: {shards} weight files, {:.1} MiB to download, {:.1} MiB on the device\n",
                self.out.display(),
                mib(&manifest["requirements"]["download_bytes"]),
                mib(&manifest["requirements"]["device_bytes"]),
            ));
        }
    }
}

/// Fills a folder with a model whose adapter is merged into its weights.
fn merge(named: &Named, folder: TempDir) -> Result<TempDir, Failure> {
    let model = named.load(DType::F32, &Device::flex())?;
    trainer::pretrained::save_merged(&model, folder.path())?;
    Ok(folder)
}

/// What this machine's CPU makes of the exported weights.
fn selftest(folder: &Path) -> Result<SelfTest, Failure> {
    let files = ModelFiles::Folder(folder.into());
    let loaded = trainer::pretrained::load(&files, None, DType::F32, &Device::flex())?;
    Ok(pollster::block_on(SelfTest::new(&loaded, 1))?)
}

/// Whether something is at a path that would be lost.
fn is_occupied(path: &Path) -> std::io::Result<bool> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Names the folder that was to be written instead of the temporary file.
fn unwritten(error: WeightsError, out: &Path) -> Failure {
    match error {
        WeightsError::Io { source, .. } => about(out.display())(source),
        error => error.into(),
    }
}

/// Moves the finished folder to its place; what was there goes only then.
fn replace(temporary: TempDir, out: &Path) -> std::io::Result<()> {
    let old = match out.exists() {
        true => {
            let aside = temporary.path().with_extension("old");
            std::fs::rename(out, &aside)?;
            Some(aside)
        }
        false => None,
    };
    if let Err(error) = std::fs::rename(temporary.path(), out) {
        if let Some(old) = old {
            std::fs::rename(old, out)?;
        }
        return Err(error);
    }
    let _ = temporary.keep();
    old.map_or(Ok(()), std::fs::remove_dir_all)
}

/// A file that is hashed while it is written.
struct HashingFile {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl HashingFile {
    fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create(path)?), hash: Sha256::new(), bytes: 0 })
    }

    /// Brings the file to the disk and describes it as the manifest does.
    fn finish(self, name: &str) -> std::io::Result<Value> {
        self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        let hash: String = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(json!({"name": name, "bytes": self.bytes, "sha256": hash}))
    }
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
