//! One safetensors file: its header, and its tensors read one by one.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use burn::tensor::{DType, TensorData};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::error::WeightsError;

/// Where a tensor stands in its file.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSlot {
    /// Numbers' format in the file.
    pub dtype: Dtype,
    /// Axes as in the file.
    pub shape: Vec<usize>,
    /// First byte, counted from the start of the file.
    pub start: u64,
    /// Number of bytes.
    pub bytes: usize,
}

/// The tensors that a safetensors file holds, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// Places of the tensors.
    pub tensors: BTreeMap<String, TensorSlot>,
}

/// Longest header read; safetensors itself allows 100 MB.
const MAX_HEADER: u64 = 100_000_000;

impl Header {
    /// Reads the header of a file of `length` bytes and checks that the file is whole.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the file; the caller knows its name.
    pub fn read(source: &mut impl Read, length: u64) -> Result<Self, String> {
        let mut size = [0; 8];
        source.read_exact(&mut size).map_err(|_| "shorter than 8 bytes".to_string())?;
        let size = u64::from_le_bytes(size);
        if size > MAX_HEADER || size + 8 > length {
            return Err(format!("its header claims {size} bytes of {length}"));
        }
        let mut header = Vec::new();
        source.take(size).read_to_end(&mut header).map_err(|error| error.to_string())?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| format!("its header: {error}"))?;
        let data = 8 + size;
        let expected = (metadata.data_len() as u64).saturating_add(data);
        if expected != length {
            return Err(format!("it should have {expected} bytes but has {length}"));
        }
        let mut tensors = BTreeMap::new();
        for (name, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let slot = TensorSlot {
                dtype: info.dtype,
                shape: info.shape.clone(),
                start: data + start as u64,
                bytes: end - start,
            };
            tensors.insert(name, slot);
        }
        Ok(Self { tensors })
    }
}

/// Something to read from any place of.
pub trait Source: Read + Seek {}

impl<R: Read + Seek> Source for R {}

/// An open safetensors file, on disk or in memory.
#[derive(Debug)]
pub struct Shard<R> {
    name: String,
    source: R,
    header: Header,
}

impl<R: Read + Seek> Shard<R> {
    /// Reads the header; `name` is for error messages.
    ///
    /// # Errors
    ///
    /// When the file is not safetensors or not whole.
    pub fn open(name: impl Into<String>, mut source: R) -> Result<Self, WeightsError> {
        let name = name.into();
        let header = source
            .seek(SeekFrom::End(0))
            .and_then(|length| source.rewind().map(|()| length))
            .map_err(|error| error.to_string())
            .and_then(|length| Header::read(&mut source, length));
        match header {
            Ok(header) => Ok(Self { name, source, header }),
            Err(message) => Err(WeightsError::Format { file: name, message }),
        }
    }

    /// The same file, read through a pointer.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn boxed(self) -> Shard<Box<dyn Source>>
    where
        R: 'static,
    {
        Shard { name: self.name, source: Box::new(self.source), header: self.header }
    }

    /// What the file is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the file holds.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads one tensor into `dtype`; only this tensor is in memory.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or the tensor's format is not a float of 16 or 32 bits.
    pub(crate) fn tensor(
        &mut self,
        slot: &TensorSlot,
        dtype: DType,
    ) -> Result<TensorData, WeightsError> {
        let read = self.source.seek(SeekFrom::Start(slot.start)).and_then(|_| match slot.dtype {
            Dtype::F32 => {
                self.numbers::<f32>(slot).map(|values| convert(values, |x| x, dtype, &slot.shape))
            }
            Dtype::BF16 => self
                .numbers::<bf16>(slot)
                .map(|values| convert(values, bf16::to_f32, dtype, &slot.shape)),
            Dtype::F16 => self
                .numbers::<f16>(slot)
                .map(|values| convert(values, f16::to_f32, dtype, &slot.shape)),
            other => Err(std::io::Error::other(format!("{other:?} weights are not supported"))),
        });
        read.map_err(|error| WeightsError::Format {
            file: self.name.clone(),
            message: error.to_string(),
        })
    }

    /// Reads one tensor's bytes as they are.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub(crate) fn bytes(&mut self, slot: &TensorSlot) -> Result<Vec<u8>, WeightsError> {
        let read = self.source.seek(SeekFrom::Start(slot.start)).and_then(|_| self.numbers(slot));
        read.map_err(|error| WeightsError::Format {
            file: self.name.clone(),
            message: error.to_string(),
        })
    }

    fn numbers<T: bytemuck::Pod>(&mut self, slot: &TensorSlot) -> std::io::Result<Vec<T>> {
        let mut values = vec![T::zeroed(); slot.bytes / size_of::<T>()];
        self.source.read_exact(bytemuck::cast_slice_mut(&mut values))?;
        Ok(values)
    }
}

/// Floats in a format of the file, as `dtype`; None where the format is not a float of 16 or 32 bits.
pub(crate) fn floats(
    bytes: &[u8],
    format: Dtype,
    dtype: DType,
    shape: &[usize],
) -> Option<TensorData> {
    use bytemuck::allocation::pod_collect_to_vec as numbers;
    Some(match format {
        Dtype::F32 => convert(numbers::<u8, f32>(bytes), |x| x, dtype, shape),
        Dtype::BF16 => convert(numbers::<u8, bf16>(bytes), bf16::to_f32, dtype, shape),
        Dtype::F16 => convert(numbers::<u8, f16>(bytes), f16::to_f32, dtype, shape),
        _ => return None,
    })
}

fn convert<T: burn::tensor::Element>(
    values: Vec<T>,
    to_f32: fn(T) -> f32,
    dtype: DType,
    shape: &[usize],
) -> TensorData {
    let shape = shape.to_vec();
    if dtype == T::dtype() {
        return TensorData::new(values, shape);
    }
    let values = values.into_iter().map(to_f32);
    match dtype {
        DType::F16 => TensorData::new(values.map(f16::from_f32).collect::<Vec<_>>(), shape),
        DType::BF16 => TensorData::new(values.map(bf16::from_f32).collect::<Vec<_>>(), shape),
        _ => TensorData::new(values.collect::<Vec<f32>>(), shape),
    }
}
