//! From a model's weights to files for the browser, some rows at a time.

use std::collections::BTreeMap;
use std::io::{Read, Seek, Write};
use std::ops::Range;

use burn::tensor::DType;
use half::f16;
use safetensors::Dtype;
use serde_json::{Map, Value, json};

use super::file::TensorSlot;
use super::load::{Assembly, Checkpoint};
use super::piece::{SCALE, slice_name};
use crate::config::Qwen2_5_VLConfig;
use crate::error::WeightsError;
use crate::parallel;
use crate::quantized::{BLOCK, Quantization};

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// All in f32.
    F32,
    /// All in f16.
    F16,
    /// Matrices in blocks of integers, the rest in f32.
    Quantized(Quantization),
}

/// Largest slice of a tensor that is stored in slices, so that a part of the vocabulary's tables
/// takes at most 128 MiB on the device, whatever it computes in.
const MAX_SLICE: u64 = 64 << 20;

/// The files of an export, before they are written.
#[derive(Clone, Debug)]
pub struct Export {
    /// The files.
    pub files: Vec<ExportFile>,
    /// Number of weights.
    pub parameters: u64,
    /// Bytes that the weights take on a GPU that computes in f32.
    pub device_bytes: u64,
    /// Bytes of the largest of their buffers there.
    pub largest_buffer_bytes: u64,
}

/// A file of an export.
#[derive(Clone, Debug)]
pub struct ExportFile {
    /// What it is called.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    items: Vec<Item>,
}

/// A tensor or some of its rows, with its scales.
#[derive(Clone, Debug)]
struct Item {
    key: String,
    shard: usize,
    /// Where the rows are in the source.
    slot: TensorSlot,
    start: Option<usize>,
    storage: Storage,
}

impl Item {
    /// Names, types, axes and sizes of what is stored.
    fn entries(&self) -> Vec<(String, Dtype, Vec<usize>, u64)> {
        let named = |name: &str| match self.start {
            Some(start) => slice_name(name, start),
            None => name.into(),
        };
        let entry = |name: &str, dtype: Dtype, shape: Vec<usize>, width: usize| {
            let bytes = shape.iter().product::<usize>() as u64 * width as u64;
            (named(name), dtype, shape, bytes)
        };
        let shape = &self.slot.shape;
        match self.storage {
            Storage::F32 => vec![entry(&self.key, Dtype::F32, shape.clone(), 4)],
            Storage::F16 => vec![entry(&self.key, Dtype::F16, shape.clone(), 2)],
            Storage::Quantized(quantization) => {
                let [rows, inputs] = [shape[0], shape[1]];
                let scale = format!("{}{SCALE}", self.key);
                vec![
                    entry(&self.key, Dtype::U8, vec![rows, quantization.bytes(inputs)], 1),
                    entry(&scale, Dtype::F16, vec![rows, inputs / BLOCK], 2),
                ]
            }
        }
    }

    /// Bytes in a file, with its part of the header.
    fn bytes(&self) -> u64 {
        let entries = self.entries();
        entries
            .iter()
            .map(|(name, _, shape, bytes)| bytes + name.len() as u64 + 90 + 21 * shape.len() as u64)
            .sum()
    }

    /// The same for some of the rows.
    fn rows(&self, rows: Range<usize>) -> Self {
        let row = self.slot.bytes / self.slot.shape[0];
        let mut shape = self.slot.shape.clone();
        shape[0] = rows.len();
        let slot = TensorSlot {
            dtype: self.slot.dtype,
            shape,
            start: self.slot.start + (rows.start * row) as u64,
            bytes: rows.len() * row,
        };
        Self { slot, start: Some(rows.start), ..self.clone() }
    }

    /// The same in slices of at most `limit` bytes, if it is larger and has several rows.
    fn sliced(self, limit: u64) -> Vec<Self> {
        let rows = self.slot.shape.first().copied().unwrap_or(1);
        if self.bytes() <= limit || rows < 2 {
            return vec![self];
        }
        let overhead = self.rows(0..1).bytes();
        let per_row = (self.rows(0..2).bytes() - overhead).max(1);
        let step = (limit.saturating_sub(overhead) / per_row + 1) as usize;
        (0..rows).step_by(step).map(|first| self.rows(first..(first + step).min(rows))).collect()
    }

    /// Bytes of the buffers on a GPU that computes in f32.
    fn device_bytes(&self) -> u64 {
        let weights = self.slot.shape.iter().product::<usize>();
        match self.storage {
            Storage::Quantized(quantization) => {
                (quantization.bytes(weights) + weights / BLOCK * 4) as u64
            }
            _ => weights as u64 * 4,
        }
    }
}

impl<R: Read + Seek> Checkpoint<R> {
    /// Shares the weights out to files of at most `file_bytes`, in the order of their names.
    ///
    /// # Errors
    ///
    /// When the weights do not fit the configuration, or are an export themselves.
    pub fn export(
        &self,
        config: &Qwen2_5_VLConfig,
        storage: Storage,
        file_bytes: u64,
    ) -> Result<Export, WeightsError> {
        let assembly = Assembly::new(config, DType::F32, &burn::tensor::Device::flex());
        assembly.check(self.headers())?;
        let (mut items, mut problems) = (BTreeMap::new(), Vec::new());
        for (shard, header) in self.headers().enumerate() {
            for (key, piece) in assembly.pieces(header) {
                if piece.start.is_some() || piece.quantized.is_some() {
                    problems.push(format!("{key} is exported already; export the original model"));
                    continue;
                }
                let storage = match (storage, piece.slot.shape.as_slice()) {
                    (Storage::Quantized(_), &[_, inputs]) if inputs % BLOCK == 0 => storage,
                    (Storage::Quantized(_), _) => Storage::F32,
                    _ => storage,
                };
                let item = Item { key: key.clone(), shard, slot: piece.slot, start: None, storage };
                items.insert(key, item);
            }
        }
        if !problems.is_empty() {
            return Err(WeightsError::Mismatch { problems });
        }
        // The files' own frame: the header's length, brackets, metadata and padding.
        let limit = file_bytes.saturating_sub(64);
        let weights = items.values().map(|item| item.slot.shape.iter().product::<usize>() as u64);
        let parameters = weights.sum();
        let whole = items.values().map(|item| (item.device_bytes(), assembly.is_table(&item.key)));
        let (mut device_bytes, mut largest) = (0, 0);
        for (bytes, is_table) in whole {
            device_bytes += bytes;
            largest = if is_table { largest } else { largest.max(bytes) };
        }
        let mut files: Vec<Vec<Item>> = vec![Vec::new()];
        let mut filled = 0;
        for item in items.into_values().flat_map(|item| item.sliced(limit.min(MAX_SLICE))) {
            if assembly.is_table(&item.key) {
                largest = largest.max(item.device_bytes());
            }
            let bytes = item.bytes();
            if filled + bytes > limit && filled > 0 {
                files.push(Vec::new());
                filled = 0;
            }
            filled += bytes;
            files.last_mut().expect("one at least").push(item);
        }
        let count = files.len();
        let file = |(index, items): (usize, Vec<Item>)| {
            let name = format!("model-{:05}-of-{count:05}.safetensors", index + 1);
            let data: u64 = items.iter().flat_map(Item::entries).map(|entry| entry.3).sum();
            let bytes = header(&items).len() as u64 + data;
            ExportFile { name, bytes, items }
        };
        let files = files.into_iter().enumerate().map(file).collect();
        Ok(Export { files, parameters, device_bytes, largest_buffer_bytes: largest })
    }

    /// Writes one of the files that [`Self::export`] planned; `on_bytes` learns what was written,
    /// and may stop by an error.
    ///
    /// # Errors
    ///
    /// When weights cannot be read, a number is not finite or too large for its format, or the
    /// file cannot be written.
    pub fn write(
        &mut self,
        file: &ExportFile,
        output: &mut impl Write,
        mut on_bytes: impl FnMut(u64) -> std::io::Result<()>,
    ) -> Result<(), WeightsError> {
        let mut put = |bytes: &[u8]| {
            output
                .write_all(bytes)
                .and_then(|()| on_bytes(bytes.len() as u64))
                .map_err(|source| WeightsError::Io { path: file.name.clone().into(), source })
        };
        put(&header(&file.items))?;
        for item in &file.items {
            let data = self.shards[item.shard].tensor(&item.slot, DType::F32)?;
            let weights = data.as_slice::<f32>().expect("read as f32");
            let largest = match item.storage {
                Storage::F32 => f32::MAX,
                Storage::F16 => f16::MAX.to_f32(),
                Storage::Quantized(quantization) => quantization.largest(),
            };
            let fits = |weight: &f32| weight.is_finite() && weight.abs() <= largest;
            if let Some(weight) = weights.iter().find(|weight| !fits(weight)) {
                let problem = format!("{} holds {weight}, which cannot be stored so", item.key);
                return Err(WeightsError::Mismatch { problems: vec![problem] });
            }
            match item.storage {
                Storage::F32 => put(bytemuck::cast_slice(weights))?,
                Storage::F16 => {
                    let weights: Vec<f16> = weights.iter().copied().map(f16::from_f32).collect();
                    put(bytemuck::cast_slice(&weights))?;
                }
                Storage::Quantized(quantization) => {
                    let parts = weights.chunks(BLOCK * 4096).collect();
                    let parts = parallel::map(parts, |part| quantization.quantize(part));
                    for (bytes, _) in &parts {
                        put(bytes)?;
                    }
                    for (_, scales) in &parts {
                        put(bytemuck::cast_slice(scales))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The header of a safetensors file with its length before it.
fn header(items: &[Item]) -> Vec<u8> {
    let mut end = 0;
    let mut map = Map::new();
    map.insert("__metadata__".into(), json!({"format": "pt"}));
    for (name, dtype, shape, bytes) in items.iter().flat_map(Item::entries) {
        let start = end;
        end += bytes;
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
        map.insert(name, entry);
    }
    let mut json = Value::Object(map).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    [&(json.len() as u64).to_le_bytes(), json.as_slice()].concat()
}
