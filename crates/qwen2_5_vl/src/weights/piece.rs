//! What a file holds of a model: whole tensors or some of their rows, in floats or quantized.
//!
//! A tensor that alone is larger than a file may be is stored in slices: `NAME@START` holds its
//! rows from `START` on. A quantized `X.weight` stands beside `X.weight_scale`, in the same file
//! and sliced alike ([`crate::quantized`]).

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::canonical_key;
use super::file::{Header, TensorSlot};
use crate::quantized::{BLOCK, Quantization};

/// Ends the name of a quantized weight's scales.
pub(crate) const SCALE: &str = "_scale";

/// The name of the rows from `start` on.
pub(crate) fn slice_name(name: &str, start: usize) -> String {
    format!("{name}@{start}")
}

/// The name of a tensor or of its slice.
fn named(name: &str, start: Option<usize>) -> String {
    start.map_or_else(|| name.into(), |start| slice_name(name, start))
}

/// A tensor's name without the mark of a slice, and the slice's first row.
fn parse_name(name: &str) -> (&str, Option<usize>) {
    match name.rsplit_once('@').map(|(name, start)| (name, start.parse())) {
        Some((name, Ok(start))) => (name, Some(start)),
        _ => (name, None),
    }
}

/// A tensor or some of its rows.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// First row of a slice, None of a whole tensor.
    pub start: Option<usize>,
    /// Where the numbers are.
    pub slot: TensorSlot,
    /// How they are quantized, and where the scales are.
    pub quantized: Option<(Quantization, TensorSlot)>,
}

impl Piece {
    /// Number of rows; a scalar is one.
    pub fn rows(&self) -> usize {
        self.slot.shape.first().copied().unwrap_or(1)
    }

    /// First row.
    pub fn first(&self) -> usize {
        self.start.unwrap_or(0)
    }

    /// Axes of the weights it stands for.
    pub fn shape(&self) -> Vec<usize> {
        match self.quantized {
            Some((Quantization::Q4, _)) => vec![self.slot.shape[0], 2 * self.slot.shape[1]],
            _ => self.slot.shape.clone(),
        }
    }

    fn fits(&self, expected: &[usize]) -> bool {
        let shape = self.shape();
        match self.start {
            None => shape == expected,
            Some(start) => {
                let end = start.checked_add(self.rows());
                shape.len() == expected.len()
                    && shape[0] > 0
                    && shape[1..] == expected[1..]
                    && end.is_some_and(|end| end <= expected[0])
            }
        }
    }
}

/// A file's pieces by key in the hub's layout, and what does not fit `shapes`.
///
/// Keys that `ignored` names are passed over.
pub(crate) fn pieces(
    header: &Header,
    shapes: &BTreeMap<String, Vec<usize>>,
    ignored: impl Fn(&str) -> bool,
) -> (Vec<(String, Piece)>, Vec<String>) {
    let (mut pieces, mut problems) = (Vec::new(), Vec::new());
    for (name, slot) in &header.tensors {
        let (base, start) = parse_name(name);
        let key = canonical_key(base);
        let weight = key.strip_suffix(SCALE);
        if ignored(weight.unwrap_or(&key)) {
            continue;
        }
        if let Some(weight) = weight.filter(|weight| shapes.contains_key(*weight)) {
            let whole = base.strip_suffix(SCALE).unwrap_or(base);
            if !header.tensors.contains_key(&named(whole, start)) {
                problems.push(format!("missing: {weight}, whose scales are there"));
            }
            continue;
        }
        let Some(expected) = shapes.get(&key) else {
            problems.push(format!("unexpected: {key}"));
            continue;
        };
        match piece(header, name, slot, start, expected) {
            Ok(piece) if piece.fits(expected) => pieces.push((key, piece)),
            Ok(piece) => problems.push(misshapen(&key, &piece.shape(), start, expected)),
            Err(problem) => problems.push(format!("{key} {problem}")),
        }
    }
    (pieces, problems)
}

fn misshapen(key: &str, shape: &[usize], start: Option<usize>, expected: &[usize]) -> String {
    match start {
        None => format!("misshapen: {key} is {shape:?}, not {expected:?}"),
        Some(start) => format!("misshapen: {key} from row {start} is {shape:?} of {expected:?}"),
    }
}

fn piece(
    header: &Header,
    name: &str,
    slot: &TensorSlot,
    start: Option<usize>,
    expected: &[usize],
) -> Result<Piece, String> {
    let mut piece = Piece { start, slot: slot.clone(), quantized: None };
    if slot.dtype != Dtype::U8 {
        return match slot.shape.is_empty() && start.is_some() {
            true => Err("is a slice of a single number".into()),
            false => Ok(piece),
        };
    }
    let (base, _) = parse_name(name);
    let scales = named(&format!("{base}{SCALE}"), start);
    let Some(scales) = header.tensors.get(&scales) else {
        return Err(format!("is quantized, but its file has no {scales}"));
    };
    let (&[rows, width], &[_, inputs]) = (slot.shape.as_slice(), expected) else {
        return Err("is quantized, but is no matrix".into());
    };
    let quantization = match width {
        width if width == inputs => Quantization::Q8,
        width if width.checked_mul(2) == Some(inputs) => Quantization::Q4,
        _ => return Err(format!("has {width} bytes a row for {inputs} weights")),
    };
    if inputs % BLOCK != 0 {
        return Err(format!("is quantized, but {inputs} is not a multiple of {BLOCK}"));
    }
    if scales.dtype != Dtype::F16 || scales.shape != [rows, inputs / BLOCK] {
        return Err(format!("has scales {:?} {:?}", scales.dtype, scales.shape));
    }
    piece.quantized = Some((quantization, scales.clone()));
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_slices_are_read_back() {
        assert_eq!(parse_name(&slice_name("a.weight", 12)), ("a.weight", Some(12)));
        for name in ["a.weight", "a@b", "@", "a@-1", "a@99999999999999999999999"] {
            assert_eq!(parse_name(name), (name, None), "{name}");
        }
    }

    fn slot(dtype: Dtype, shape: &[usize]) -> TensorSlot {
        TensorSlot { dtype, shape: shape.to_vec(), start: 0, bytes: 0 }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let shapes = BTreeMap::from([
            ("w.weight".to_string(), vec![4, 64]),
            ("b.bias".to_string(), vec![4]),
        ]);
        type Tensors<'a> = &'a [(&'a str, Dtype, &'a [usize])];
        let cases: [(Tensors, &str); 11] = [
            (&[("w.weight@2", Dtype::F16, &[0, 64])], "misshapen: w.weight from row 2"),
            (&[("w.weight", Dtype::U8, &[4, 32])], "no w.weight_scale"),
            (&[("w.weight_scale", Dtype::F16, &[4, 2])], "missing: w.weight"),
            (
                &[("w.weight", Dtype::U8, &[4, 31]), ("w.weight_scale", Dtype::F16, &[4, 2])],
                "31 bytes a row",
            ),
            (
                &[("w.weight", Dtype::U8, &[4, 32]), ("w.weight_scale", Dtype::F16, &[4, 1])],
                "has scales",
            ),
            (
                &[("w.weight", Dtype::U8, &[4, 32]), ("w.weight_scale", Dtype::F32, &[4, 2])],
                "has scales",
            ),
            (&[("b.bias", Dtype::U8, &[4]), ("b.bias_scale", Dtype::F16, &[1])], "no matrix"),
            (&[("w.weight@2", Dtype::F16, &[3, 64])], "misshapen: w.weight from row 2"),
            (&[("w.weight@18446744073709551615", Dtype::F16, &[3, 64])], "misshapen"),
            (&[("b.bias@0", Dtype::F16, &[])], "single number"),
            (&[("v.weight@0", Dtype::F16, &[1])], "unexpected: v.weight"),
        ];
        for (tensors, expected) in cases {
            let tensors = tensors
                .iter()
                .map(|&(name, dtype, shape)| (name.to_string(), slot(dtype, shape)))
                .collect();
            let (_, problems) = pieces(&Header { tensors }, &shapes, |_| false);
            assert!(problems.join("; ").contains(expected), "{expected} not in {problems:?}");
        }
    }

    #[test]
    fn quantized_slices_are_recognized() {
        let shapes = BTreeMap::from([("model.w.weight".to_string(), vec![4, 64])]);
        let tensors = [
            ("model.language_model.w.weight@1", slot(Dtype::U8, &[3, 32])),
            ("model.language_model.w.weight_scale@1", slot(Dtype::F16, &[3, 2])),
        ];
        let tensors = tensors.map(|(name, slot)| (name.to_string(), slot)).into();
        let (pieces, problems) = pieces(&Header { tensors }, &shapes, |_| false);
        assert!(problems.is_empty(), "{problems:?}");
        let (key, piece) = &pieces[0];
        assert_eq!((key.as_str(), piece.first(), piece.rows()), ("model.w.weight", 1, 3));
        assert_eq!(piece.quantized.as_ref().unwrap().0, Quantization::Q4);
        assert_eq!(piece.shape(), [3, 64]);
    }
}
