//! Samples to parquet, as pyarrow and `datasets` read it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, Int64Builder, ListBuilder, StringBuilder, StructBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tempfile::NamedTempFile;

use super::{MAX_ROW_BYTES, Turn, row_error, temporary, turns};
use crate::atomic::persist;
use crate::data::error::DataError;
use crate::data::sample::{Picture, Sample};

/// Most rows and bytes of a row group.
const GROUP_ROWS: usize = 1024;
const GROUP_BYTES: usize = 1 << 26;

/// Writes samples as parquet, a row group at a time.
///
/// Pictures are `struct<bytes, path>`, the form of Hugging Face's `Image`; compression is snappy.
#[derive(Debug)]
pub struct ParquetWriter {
    path: PathBuf,
    writer: ArrowWriter<NamedTempFile>,
    schema: SchemaRef,
    pending: Pending,
    rows: u64,
}

/// The rows of the next row group.
#[derive(Debug)]
struct Pending {
    rows: usize,
    bytes: usize,
    data_source: StringBuilder,
    prompt: ListBuilder<StructBuilder>,
    images: ListBuilder<StructBuilder>,
    reward_model: StructBuilder,
    extra_info: StructBuilder,
    response: StringBuilder,
    seen: ListBuilder<ListBuilder<Int64Builder>>,
}

impl ParquetWriter {
    /// Begins a file at `path`, which replaces an older one when finished.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to.
    pub fn create(path: &Path) -> Result<Self, DataError> {
        let schema = Arc::new(schema());
        let image_bytes =
            || ColumnPath::from(["images", "list", "element", "bytes"].map(String::from).to_vec());
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_column_dictionary_enabled(image_bytes(), false)
            .set_column_statistics_enabled(image_bytes(), EnabledStatistics::None)
            .build();
        let writer = ArrowWriter::try_new(temporary(path)?, schema.clone(), Some(properties))
            .map_err(|error| DataError::file(path, error.to_string()))?;
        Ok(Self { path: path.to_path_buf(), writer, schema, pending: Pending::new(), rows: 0 })
    }

    /// Adds a sample.
    ///
    /// # Errors
    ///
    /// When the sample contradicts itself, a picture cannot be read, or the disk is full.
    pub fn write(&mut self, sample: &Sample) -> Result<(), DataError> {
        let fault = |message: String| row_error(&self.path, self.rows, message);
        let turns = turns(sample).map_err(fault)?;
        let mut images = Vec::with_capacity(sample.images.len());
        let mut bytes = text_bytes(sample, &turns);
        for (number, picture) in sample.images.iter().enumerate() {
            let image = picture
                .to_file()
                .map_err(|error| fault(format!("image {}: {error}", number + 1)))?;
            bytes = bytes.saturating_add(image.len());
            images.push((image, name_of(picture)));
        }
        if bytes > MAX_ROW_BYTES {
            return Err(fault(format!("more than {MAX_ROW_BYTES} bytes; use smaller pictures")));
        }
        if self.pending.rows >= GROUP_ROWS || self.pending.bytes + bytes > GROUP_BYTES {
            self.flush()?;
        }
        self.pending
            .add(sample, &turns, &images, self.rows)
            .map_err(|error| DataError::file(&self.path, error.to_string()))?;
        self.pending.bytes += bytes;
        self.rows += 1;
        Ok(())
    }

    /// Writes the last row group and gives the file its name.
    ///
    /// # Errors
    ///
    /// When the disk is full or the name cannot be given.
    pub fn finish(mut self) -> Result<(), DataError> {
        self.flush()?;
        let file = self
            .writer
            .into_inner()
            .map_err(|error| DataError::file(&self.path, error.to_string()))?;
        persist(file, &self.path).map_err(DataError::io(&self.path))
    }

    fn flush(&mut self) -> Result<(), DataError> {
        if self.pending.rows == 0 {
            return Ok(());
        }
        let columns = self.pending.finish();
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(ParquetError::from)
            .and_then(|batch| self.writer.write(&batch))
            .and_then(|()| self.writer.flush())
            .map_err(|error| DataError::file(&self.path, error.to_string()))
    }
}

impl Pending {
    fn new() -> Self {
        let list = |fields: Fields| {
            ListBuilder::new(StructBuilder::from_fields(fields.clone(), 0))
                .with_field(element(DataType::Struct(fields)))
        };
        let span = ListBuilder::new(Int64Builder::new()).with_field(element(DataType::Int64));
        Self {
            rows: 0,
            bytes: 0,
            data_source: StringBuilder::new(),
            prompt: list(turn_fields()),
            images: list(image_fields()),
            reward_model: StructBuilder::from_fields(reward_fields(), 0),
            extra_info: StructBuilder::from_fields(extra_fields(), 0),
            response: StringBuilder::new(),
            seen: ListBuilder::new(span).with_field(element(span_type())),
        }
    }

    fn add(
        &mut self,
        sample: &Sample,
        turns: &[Turn],
        images: &[(Vec<u8>, Option<String>)],
        index: u64,
    ) -> Result<(), ParquetError> {
        self.data_source.append_value(&sample.source);
        for turn in turns {
            let fields = self.prompt.values();
            field::<StringBuilder>(fields, 0)?.append_value(turn.role);
            field::<StringBuilder>(fields, 1)?.append_value(&turn.content);
            fields.append(true);
        }
        self.prompt.append(true);
        for (bytes, path) in images {
            let fields = self.images.values();
            field::<BinaryBuilder>(fields, 0)?.append_value(bytes);
            field::<StringBuilder>(fields, 1)?.append_option(path.as_ref());
            fields.append(true);
        }
        self.images.append(true);
        field::<StringBuilder>(&mut self.reward_model, 0)?.append_value("rule");
        field::<StringBuilder>(&mut self.reward_model, 1)?.append_value(&sample.answer);
        self.reward_model.append(true);
        field::<Int64Builder>(&mut self.extra_info, 0)?.append_value(index as i64);
        self.extra_info.append(true);
        self.response.append_option(sample.response.as_ref());
        for span in &sample.seen {
            for end in [span.start, span.end] {
                self.seen.values().values().append_value(end as i64);
            }
            self.seen.values().append(true);
        }
        self.seen.append(true);
        self.rows += 1;
        Ok(())
    }

    /// The columns, in the order of [`schema`]; none are left.
    fn finish(&mut self) -> Vec<ArrayRef> {
        (self.rows, self.bytes) = (0, 0);
        vec![
            Arc::new(self.data_source.finish()),
            Arc::new(self.prompt.finish()),
            Arc::new(self.images.finish()),
            Arc::new(self.reward_model.finish()),
            Arc::new(self.extra_info.finish()),
            Arc::new(self.response.finish()),
            Arc::new(self.seen.finish()),
        ]
    }
}

fn field<T: ArrayBuilder>(
    builder: &mut StructBuilder,
    place: usize,
) -> Result<&mut T, ParquetError> {
    let missing = || ParquetError::General(format!("no field {place} of this type"));
    builder.field_builder::<T>(place).ok_or_else(missing)
}

fn text_bytes(sample: &Sample, turns: &[Turn]) -> usize {
    let turns = turns.iter().map(|turn| turn.role.len() + turn.content.len()).sum::<usize>();
    let response = sample.response.as_ref().map_or(0, String::len);
    turns + response + sample.answer.len() + sample.source.len() + 16 * sample.seen.len()
}

/// The file's own name, which Hugging Face keeps beside the bytes.
fn name_of(picture: &Picture) -> Option<String> {
    match picture {
        Picture::Path(path) => Some(path.file_name()?.to_string_lossy().into_owned()),
        _ => None,
    }
}

fn nullable(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, true)
}

fn element(kind: DataType) -> FieldRef {
    Arc::new(nullable("element", kind))
}

fn turn_fields() -> Fields {
    vec![nullable("role", DataType::Utf8), nullable("content", DataType::Utf8)].into()
}

fn image_fields() -> Fields {
    vec![nullable("bytes", DataType::Binary), nullable("path", DataType::Utf8)].into()
}

fn reward_fields() -> Fields {
    vec![nullable("style", DataType::Utf8), nullable("ground_truth", DataType::Utf8)].into()
}

fn extra_fields() -> Fields {
    vec![nullable("index", DataType::Int64)].into()
}

fn span_type() -> DataType {
    DataType::List(element(DataType::Int64))
}

fn schema() -> Schema {
    let list = |fields| DataType::List(element(DataType::Struct(fields)));
    Schema::new(vec![
        nullable("data_source", DataType::Utf8),
        nullable("prompt", list(turn_fields())),
        nullable("images", list(image_fields())),
        nullable("reward_model", DataType::Struct(reward_fields())),
        nullable("extra_info", DataType::Struct(extra_fields())),
        nullable("response", DataType::Utf8),
        nullable("seen", DataType::List(element(span_type()))),
    ])
}
