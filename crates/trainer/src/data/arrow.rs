//! Arrow arrays to cells.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType, RecordBatch};
use arrow_schema::DataType;

use super::cell::Cell;

/// Lists and structs may be nested this deep.
const MAX_DEPTH: usize = 16;

/// Row `row` of a batch, as a struct of its columns.
pub(super) fn row_of(batch: &RecordBatch, row: usize) -> Cell {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    Cell::Struct(
        fields.map(|(field, column)| (field.name().clone(), cell(column, row, 0))).collect(),
    )
}

fn cell(array: &dyn Array, index: usize, depth: usize) -> Cell {
    if index >= array.len() || array.is_null(index) {
        return Cell::Null;
    }
    if depth > MAX_DEPTH {
        return Cell::Other("a value nested too deep".into());
    }
    let list = |items: &dyn Array| {
        Cell::List((0..items.len()).map(|item| cell(items, item, depth + 1)).collect())
    };
    match array.data_type() {
        DataType::Null => Cell::Null,
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(index).into()),
        DataType::LargeUtf8 => Cell::Text(array.as_string::<i64>().value(index).into()),
        DataType::Utf8View => Cell::Text(array.as_string_view().value(index).into()),
        DataType::Binary => Cell::Bytes(array.as_binary::<i32>().value(index).into()),
        DataType::LargeBinary => Cell::Bytes(array.as_binary::<i64>().value(index).into()),
        DataType::BinaryView => Cell::Bytes(array.as_binary_view().value(index).into()),
        DataType::FixedSizeBinary(_) => {
            Cell::Bytes(array.as_fixed_size_binary().value(index).into())
        }
        DataType::Boolean => Cell::Scalar(array.as_boolean().value(index).to_string()),
        DataType::Int8 => scalar::<Int8Type>(array, index),
        DataType::Int16 => scalar::<Int16Type>(array, index),
        DataType::Int32 => scalar::<Int32Type>(array, index),
        DataType::Int64 => scalar::<Int64Type>(array, index),
        DataType::UInt8 => scalar::<UInt8Type>(array, index),
        DataType::UInt16 => scalar::<UInt16Type>(array, index),
        DataType::UInt32 => scalar::<UInt32Type>(array, index),
        DataType::UInt64 => scalar::<UInt64Type>(array, index),
        DataType::Float32 => scalar::<Float32Type>(array, index),
        DataType::Float64 => scalar::<Float64Type>(array, index),
        DataType::List(_) => list(&array.as_list::<i32>().value(index)),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(index)),
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(index)),
        DataType::Struct(fields) => Cell::Struct(
            fields
                .iter()
                .zip(array.as_struct().columns())
                .map(|(field, column)| (field.name().clone(), cell(column, index, depth + 1)))
                .collect(),
        ),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let key = match cell(dictionary.keys(), index, depth + 1) {
                Cell::Scalar(key) => key.parse().unwrap_or(usize::MAX),
                _ => usize::MAX,
            };
            cell(dictionary.values(), key, depth + 1)
        }
        other => Cell::Other(format!("of type {other}")),
    }
}

fn scalar<T: ArrowPrimitiveType<Native: ToString>>(array: &dyn Array, index: usize) -> Cell {
    Cell::Scalar(array.as_primitive::<T>().value(index).to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int8Type;
    use arrow_array::{
        ArrayRef, BinaryViewArray, BooleanArray, Date32Array, DictionaryArray,
        FixedSizeBinaryArray, FixedSizeListArray, Float32Array, LargeBinaryArray, LargeListArray,
        LargeStringArray, ListArray, NullArray, StringViewArray, StructArray, UInt64Array,
    };

    use super::*;

    #[test]
    fn every_type_becomes_a_cell() {
        let text = |text: &str| Cell::Text(text.into());
        let number = |text: &str| Cell::Scalar(text.into());
        let bytes = |bytes: &[u8]| Cell::Bytes(bytes.into());
        let numbers = || vec![Some(vec![Some(1), None]), None];
        let dictionary: DictionaryArray<Int8Type> = [Some("b"), None].into_iter().collect();
        let pairs = [Some(b"ab"), None].into_iter();
        let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(pairs, 2).unwrap();
        let fields: Vec<(Arc<_>, ArrayRef)> = vec![(
            Arc::new(arrow_schema::Field::new("a", DataType::Null, true)),
            Arc::new(NullArray::new(2)),
        )];
        let list = || Cell::List(vec![number("1"), Cell::Null]);
        let cases: Vec<(ArrayRef, Cell)> = vec![
            (Arc::new(NullArray::new(2)), Cell::Null),
            (Arc::new(LargeStringArray::from(vec![Some("a"), None])), text("a")),
            (Arc::new(StringViewArray::from(vec![Some("a"), None])), text("a")),
            (Arc::new(LargeBinaryArray::from(vec![Some(&b"a"[..]), None])), bytes(b"a")),
            (Arc::new(BinaryViewArray::from(vec![Some(&b"a"[..]), None])), bytes(b"a")),
            (Arc::new(fixed), bytes(b"ab")),
            (Arc::new(BooleanArray::from(vec![Some(true), None])), number("true")),
            (
                Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])),
                number("18446744073709551615"),
            ),
            (Arc::new(Float32Array::from(vec![Some(0.1), None])), number("0.1")),
            (Arc::new(ListArray::from_iter_primitive::<Int8Type, _, _>(numbers())), list()),
            (Arc::new(LargeListArray::from_iter_primitive::<Int8Type, _, _>(numbers())), list()),
            (
                Arc::new(FixedSizeListArray::from_iter_primitive::<Int8Type, _, _>(numbers(), 2)),
                list(),
            ),
            (Arc::new(dictionary), text("b")),
            (Arc::new(StructArray::from(fields)), Cell::Struct(vec![("a".into(), Cell::Null)])),
            (
                Arc::new(Date32Array::from(vec![Some(1), None])),
                Cell::Other("of type Date32".into()),
            ),
        ];
        for (array, expected) in cases {
            assert_eq!(cell(&array, 0, 0), expected);
            assert_eq!(cell(&array, 2, 0), Cell::Null);
            if !matches!(array.data_type(), DataType::Struct(_)) {
                assert_eq!(cell(&array, 1, 0), Cell::Null, "{:?}", array.data_type());
            }
        }
    }

    #[test]
    fn deep_nesting_ends() {
        let mut array: ArrayRef = Arc::new(NullArray::new(1));
        for _ in 0..MAX_DEPTH + 2 {
            let field = Arc::new(arrow_schema::Field::new("a", array.data_type().clone(), true));
            array = Arc::new(StructArray::from(vec![(field, array)]));
        }
        assert!(format!("{:?}", cell(&array, 0, 0)).contains("nested too deep"));
    }
}
