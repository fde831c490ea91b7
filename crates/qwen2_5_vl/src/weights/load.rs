//! From safetensors files into a model, tensor by tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::checkpoint_key;
#[cfg(not(target_arch = "wasm32"))]
use super::file::Source;
use super::file::{Header, Shard};
use super::piece::{Piece, pieces};
use super::stored::Stored;
use crate::config::Qwen2_5_VLConfig;
use crate::error::WeightsError;
use crate::model::Qwen2_5_VL;
use crate::parallel;
use crate::quantized::{BLOCK, Quantization};
use crate::table::Table;

/// The weight files of one model.
#[derive(Debug)]
pub struct Checkpoint<R> {
    pub(super) shards: Vec<Shard<R>>,
}

impl<R: Read + Seek> Checkpoint<R> {
    /// Collects files.
    pub fn new(shards: Vec<Shard<R>>) -> Self {
        Self { shards }
    }

    /// What the files hold.
    pub(super) fn headers(&self) -> impl Iterator<Item = &Header> {
        self.shards.iter().map(Shard::header)
    }

    /// Builds the model with weights stored, and computation done, in `dtype`; quantized weights
    /// stay so on a GPU.
    ///
    /// Weights are read, converted and sent to the device one at a time.
    ///
    /// # Errors
    ///
    /// One error names every tensor that is missing, unexpected or of another shape.
    pub fn load(
        self,
        config: &Qwen2_5_VLConfig,
        dtype: DType,
        device: &Device,
    ) -> Result<Qwen2_5_VL, WeightsError> {
        self.assemble(Assembly::new(config, dtype, device))
    }

    /// As [`Self::load`], with the matrices of the linear layers in both towers quantized while they
    /// are read; a CPU rounds them alike and keeps floats.
    ///
    /// # Errors
    ///
    /// As [`Self::load`], and where a weight is not finite or too large for its format.
    pub fn load_quantized(
        self,
        config: &Qwen2_5_VLConfig,
        quantization: Quantization,
        dtype: DType,
        device: &Device,
    ) -> Result<Qwen2_5_VL, WeightsError> {
        let mut assembly = Assembly::new(config, dtype, device);
        let names = assembly.model.linears_mut().into_iter();
        let names = names.map(|(name, _)| format!("{name}.weight")).collect();
        assembly.quantized = Some((quantization, names));
        self.assemble(assembly)
    }

    fn assemble(mut self, mut assembly: Assembly) -> Result<Qwen2_5_VL, WeightsError> {
        assembly.check(self.headers())?;
        for shard in &mut self.shards {
            assembly.add(shard)?;
        }
        assembly.finish()
    }
}

/// Tables of the vocabulary, which may stay in parts.
const TABLES: [&str; 2] = ["model.embed_tokens.weight", "lm_head.weight"];

/// A model that gets its weights file by file, in any order.
#[derive(Debug)]
pub struct Assembly {
    model: Qwen2_5_VL,
    /// Shapes of all parameters, by key in the hub's layout.
    shapes: BTreeMap<String, Vec<usize>>,
    /// Rows that are there, as first row and number.
    loaded: BTreeMap<String, BTreeMap<usize, usize>>,
    /// Slices of tensors that are not whole yet, by first row.
    slices: BTreeMap<String, BTreeMap<usize, Stored>>,
    /// Parts of the vocabulary's tables, by first row.
    tables: BTreeMap<String, BTreeMap<usize, Tensor<2>>>,
    /// How matrices of floats are quantized, and which.
    quantized: Option<(Quantization, BTreeSet<String>)>,
    dtype: DType,
    device: Device,
}

impl Assembly {
    /// A model without weights; they will be stored, and computation done, in `dtype`.
    pub fn new(config: &Qwen2_5_VLConfig, dtype: DType, device: &Device) -> Self {
        let model = Qwen2_5_VL::init(config, device).with_compute_dtype(dtype);
        let mut shapes = Shapes::default();
        // Mapping with lazy parameters touches shapes only.
        let model = model.map(&mut shapes);
        Self {
            model,
            shapes: shapes.found,
            loaded: BTreeMap::new(),
            slices: BTreeMap::new(),
            tables: BTreeMap::new(),
            quantized: None,
            dtype,
            device: device.clone(),
        }
    }

    /// Checks that files make up the model, before they are read.
    ///
    /// # Errors
    ///
    /// Names every tensor that is missing, unexpected or of another shape.
    pub fn check<'a>(
        &self,
        headers: impl IntoIterator<Item = &'a Header>,
    ) -> Result<(), WeightsError> {
        let mut loaded = self.loaded.clone();
        let mut misfits = Vec::new();
        for header in headers {
            misfits.extend(self.plan(header, &mut loaded).1);
        }
        let mut problems = self.missing(&loaded);
        problems.extend(misfits);
        if problems.is_empty() { Ok(()) } else { Err(WeightsError::Mismatch { problems }) }
    }

    /// Reads all tensors of a file, one at a time, to the device.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or one of its tensors is not the model's, of another shape,
    /// or there already.
    pub fn add<R: Read + Seek>(&mut self, shard: &mut Shard<R>) -> Result<(), WeightsError> {
        let mut loaded = self.loaded.clone();
        let (pieces, problems) = self.plan(shard.header(), &mut loaded);
        if !problems.is_empty() {
            return Err(WeightsError::Mismatch { problems });
        }
        let keep = !parallel::is_cpu(&self.device);
        let mut whole = BTreeMap::new();
        for (key, piece) in pieces {
            if piece.start.is_none() {
                whole.insert(key, Origin::File(piece));
                continue;
            }
            let stored = Stored::read(shard, &piece)?;
            if keep && TABLES.contains(&key.as_str()) {
                let tensor = self.to_device(stored.data(self.dtype, keep)?);
                self.tables.entry(key).or_default().insert(piece.first(), tensor);
                continue;
            }
            let rows = self.shapes[&key][0];
            let slices = self.slices.entry(key.clone()).or_default();
            slices.insert(piece.first(), stored);
            if slices.values().map(Stored::rows).sum::<usize>() == rows {
                let slices = self.slices.remove(&key).unwrap_or_default();
                let stored = Stored::concatenated(slices.into_values(), &key)?;
                whole.insert(key, Origin::Memory(stored));
            }
        }
        let mut loader = Loader {
            shard,
            sources: whole,
            quantized: self.quantized.as_ref(),
            path: Vec::new(),
            dtype: self.dtype,
            device: &self.device,
            keep,
            error: None,
        };
        self.model = self.model.clone().map(&mut loader);
        loader.error.map_or(Ok(()), Err)?;
        self.loaded = loaded;
        Ok(())
    }

    /// The model.
    ///
    /// # Errors
    ///
    /// Names the tensors that no file had.
    pub fn finish(mut self) -> Result<Qwen2_5_VL, WeightsError> {
        let problems = self.missing(&self.loaded);
        if !problems.is_empty() {
            return Err(WeightsError::Mismatch { problems });
        }
        let mut table = |key: &str| self.tables.remove(key).map(Table::new);
        if let Some(table) = table(TABLES[0]) {
            let embedding = &mut self.model.model.embed_tokens;
            (embedding.weight, embedding.table) = (None, Some(table));
        }
        if let Some(table) = table(TABLES[1]) {
            (self.model.lm_head, self.model.head) = (None, Some(table));
        }
        Ok(self.model)
    }

    /// A file's pieces that fit the model.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn pieces(&self, header: &Header) -> Vec<(String, Piece)> {
        self.plan(header, &mut BTreeMap::new()).0
    }

    /// Whether a tensor is a table of the vocabulary.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn is_table(&self, key: &str) -> bool {
        TABLES.contains(&key)
    }

    /// A file's pieces, without a head that is tied to the embedding, and what is wrong with them;
    /// notes their rows in `loaded`.
    fn plan(
        &self,
        header: &Header,
        loaded: &mut BTreeMap<String, BTreeMap<usize, usize>>,
    ) -> (Vec<(String, Piece)>, Vec<String>) {
        let tied = self.model.config().tie_word_embeddings;
        let ignored = |key: &str| tied && key == "lm_head.weight";
        let (pieces, mut problems) = pieces(header, &self.shapes, ignored);
        for (key, piece) in &pieces {
            let rows = loaded.entry(key.clone()).or_default();
            let (first, end) = (piece.first(), piece.first() + piece.rows());
            let before = rows.range(..end.max(first + 1)).next_back();
            if before.is_some_and(|(&start, &count)| start == first || start + count > first) {
                problems.push(format!("twice: {key} from row {first}"));
            }
            rows.insert(first, piece.rows());
        }
        (pieces, problems)
    }

    fn missing(&self, loaded: &BTreeMap<String, BTreeMap<usize, usize>>) -> Vec<String> {
        let absent = self.shapes.iter().filter_map(|(key, shape)| {
            let expected = shape.first().copied().unwrap_or(1);
            match loaded.get(key).map(|rows| rows.values().sum::<usize>()) {
                None => Some(format!("missing: {key} {shape:?}")),
                Some(rows) if rows < expected => {
                    Some(format!("missing: {} rows of {key} {shape:?}", expected - rows))
                }
                Some(_) => None,
            }
        });
        absent.collect()
    }

    fn to_device(&self, data: TensorData) -> Tensor<2> {
        to_device(data, self.dtype, &self.device)
    }
}

/// Sends data to the device, to a buffer of its own size.
fn to_device<const D: usize>(data: TensorData, dtype: DType, device: &Device) -> Tensor<D> {
    device.memory_persistent_allocations(data, |data| Tensor::from_data(data, (device, dtype)))
}

/// Collects the key and shape of every parameter.
#[derive(Default)]
struct Shapes {
    path: Vec<String>,
    found: BTreeMap<String, Vec<usize>>,
}

impl ModuleMapper for Shapes {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.found.insert(checkpoint_key(&self.path), param.lazy_shape().to_vec());
        param
    }
}

/// Where a whole tensor comes from.
enum Origin {
    File(Piece),
    Memory(Stored),
}

/// Replaces every parameter that the file has.
struct Loader<'a, R> {
    shard: &'a mut Shard<R>,
    sources: BTreeMap<String, Origin>,
    quantized: Option<&'a (Quantization, BTreeSet<String>)>,
    path: Vec<String>,
    dtype: DType,
    device: &'a Device,
    /// Whether quantized weights stay so.
    keep: bool,
    error: Option<WeightsError>,
}

impl<R: Read + Seek> Loader<'_, R> {
    /// How a matrix is to be quantized, if it is.
    fn quantization(&self, key: &str, piece: &Piece) -> Option<Quantization> {
        let (quantization, names) = self.quantized?;
        let fits = piece.shape().last().is_some_and(|inputs| inputs % BLOCK == 0);
        (fits && names.contains(key)).then_some(*quantization)
    }

    fn data(&mut self, key: &str, source: Origin) -> Result<TensorData, WeightsError> {
        match source {
            Origin::File(piece) if piece.quantized.is_none() => {
                let Some(quantization) = self.quantization(key, &piece) else {
                    return self.shard.tensor(&piece.slot, self.dtype);
                };
                let data = self.shard.tensor(&piece.slot, DType::F32)?;
                quantization.rounded(&data, self.dtype, self.keep).map_err(|weight| {
                    let problem = format!("{key} holds {weight}, which cannot be quantized");
                    WeightsError::Mismatch { problems: vec![problem] }
                })
            }
            Origin::File(piece) => Stored::read(self.shard, &piece)?.data(self.dtype, self.keep),
            Origin::Memory(stored) => stored.data(self.dtype, self.keep),
        }
    }
}

impl<R: Read + Seek> ModuleMapper for Loader<'_, R> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        let key = checkpoint_key(&self.path);
        let Some(source) = self.sources.remove(&key) else { return param };
        match self.data(&key, source) {
            Ok(data) => {
                let id = param.id;
                param.transform_for_load(to_device(data, self.dtype, self.device), id)
            }
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Checkpoint<std::fs::File> {
    /// The same files, read through a pointer.
    pub fn boxed(self) -> Checkpoint<Box<dyn Source>> {
        Checkpoint { shards: self.shards.into_iter().map(Shard::boxed).collect() }
    }

    /// Opens the weight files of a model folder: those that `model.safetensors.index.json` names,
    /// or `model.safetensors`, as Hugging Face has it, or those of an export's `manifest.json`.
    ///
    /// # Errors
    ///
    /// When there are none, or one of them is not a whole safetensors file.
    pub fn open(folder: &std::path::Path) -> Result<Self, WeightsError> {
        let names = if let Ok(index) = std::fs::read(folder.join(INDEX)) {
            shard_names(&index, INDEX)?
        } else if folder.join("model.safetensors").is_file() {
            vec!["model.safetensors".to_string()]
        } else if let Ok(manifest) = std::fs::read(folder.join(MANIFEST)) {
            shard_names(&manifest, MANIFEST)?
        } else {
            return Err(WeightsError::NotFound { path: folder.into() });
        };
        let open = |name: String| {
            let path = folder.join(&name);
            let file =
                std::fs::File::open(&path).map_err(|source| WeightsError::Io { path, source })?;
            Shard::open(name, file)
        };
        Ok(Self::new(names.into_iter().map(open).collect::<Result<_, _>>()?))
    }
}

#[cfg(not(target_arch = "wasm32"))]
const INDEX: &str = "model.safetensors.index.json";
#[cfg(not(target_arch = "wasm32"))]
const MANIFEST: &str = "manifest.json";

/// The files that an index or a manifest names, each once.
#[cfg(not(target_arch = "wasm32"))]
fn shard_names(json: &[u8], file: &str) -> Result<Vec<String>, WeightsError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    #[derive(serde::Deserialize)]
    struct Manifest {
        shards: Vec<Named>,
    }
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
    }
    let bad = |message: String| WeightsError::Format { file: file.into(), message };
    let names: BTreeSet<String> = match file {
        INDEX => {
            let index: Index =
                serde_json::from_slice(json).map_err(|error| bad(error.to_string()))?;
            index.weight_map.into_values().collect()
        }
        _ => {
            let manifest: Manifest =
                serde_json::from_slice(json).map_err(|error| bad(error.to_string()))?;
            manifest.shards.into_iter().map(|shard| shard.name).collect()
        }
    };
    match names.iter().find(|name| name.contains(['/', '\\']) || name.as_str() == "..") {
        Some(name) => Err(bad(format!("shard {name:?} is not a file name"))),
        None => Ok(names.into_iter().collect()),
    }
}
