//! Kernels that read quantized weights where they lie.
//!
//! Burn 0.22's own quantized product cannot be used: for 4 bits some of its kernels panic while
//! they are compiled, which ends a browser's engine, and others take minutes to compile.

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::{BackendTensor, DispatchKindConversion, DispatchTensor};
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::quant::scheme::QuantScheme;

use crate::quantized::BLOCK;

/// Burn's tensors, apart from the kernels' own type of that name.
type Matrix = burn::tensor::Tensor<2>;
type Ids = burn::tensor::Tensor<1, burn::tensor::Int>;

/// Units that share the inputs of one output.
const LANES: usize = 1 << LANE_BITS;
const LANE_BITS: usize = 5;

/// Outputs of a cube.
const OUTPUTS: usize = 4;

/// Most rows of `x` that a cube multiplies at once.
const ROWS: usize = 8;

/// Most cubes along an axis of the grid.
const MAX_CUBES: usize = 65_535;

/// The quantized weight at a place of a word.
#[cube]
fn weight(word: u32, #[comptime] place: usize, #[comptime] bits: usize) -> f32 {
    let sign = comptime!(1u32 << (bits - 1));
    let mask = comptime!((1u32 << bits) - 1);
    let field = (word >> comptime!((place * bits) as u32)) & mask;
    f32::cast_from(i32::cast_from(field ^ sign) - comptime!(1i32 << (bits - 1)))
}

/// `x · valuesᵀ`, a tile of rows and outputs per cube, the inputs shared out over its lanes.
#[cube(launch)]
fn product_kernel<F: Float, S: Float>(
    x: &Tensor<F>,
    values: &Tensor<u32>,
    scales: &Tensor<S>,
    output: &mut Tensor<F>,
    #[comptime] bits: usize,
    #[comptime] rows: usize,
    #[define(F, S)] _dtypes: [ElemType; 2],
) {
    let lane = UNIT_POS_X as usize;
    let unit = UNIT_POS as usize;
    let cube = CUBE_POS_X as usize + CUBE_POS_Z as usize * CUBE_COUNT_X as usize;
    let feature = cube * OUTPUTS + UNIT_POS_Y as usize;
    let features = values.shape(0);
    let first_row = CUBE_POS_Y as usize * rows;
    let all_rows = x.shape(0);
    // Units beyond the last feature or row compute it again, since all must reach the barriers.
    let read_feature = if feature < features { feature } else { features - 1 };
    let per_word = comptime!(32 / bits);

    let mut sums = Array::<f32>::new(rows);
    #[unroll]
    for row in 0..rows {
        sums[row] = 0.0;
    }
    let mut weights = Array::<f32>::new(per_word);
    let mut word = lane;
    while word < values.shape(1) {
        let packed = values[read_feature * values.stride(0) + word];
        let input = word * per_word;
        let scale = f32::cast_from(scales[read_feature * scales.stride(0) + input / BLOCK]);
        #[unroll]
        for place in 0..per_word {
            weights[place] = weight(packed, place, bits) * scale;
        }
        #[unroll]
        for row in 0..rows {
            let read_row = if first_row + row < all_rows { first_row + row } else { all_rows - 1 };
            let start = read_row * x.stride(0) + input;
            let mut sum = sums[row];
            #[unroll]
            for place in 0..per_word {
                sum += weights[place] * f32::cast_from(x[start + place]);
            }
            sums[row] = sum;
        }
        word += LANES;
    }

    let units = comptime!(LANES * OUTPUTS);
    let mut shared = Shared::<[f32]>::new_slice(rows * units);
    #[unroll]
    for row in 0..rows {
        shared[row * units + unit] = sums[row];
    }
    sync_cube();
    #[unroll]
    for step in 0..LANE_BITS {
        let half = LANES >> (step + 1);
        if lane < half {
            #[unroll]
            for row in 0..rows {
                let other = shared[row * units + unit + half];
                shared[row * units + unit] += other;
            }
        }
        sync_cube();
    }
    if lane < rows && first_row + lane < all_rows && feature < features {
        let place = (first_row + lane) * output.stride(0) + feature;
        output[place] = F::cast_from(shared[lane * units + unit - lane]);
    }
}

/// Unpacks the rows that `ids` name, counted from `first`; a word per unit.
#[cube(launch)]
fn select_kernel<F: Float, S: Float, I: Int>(
    ids: &Tensor<I>,
    values: &Tensor<u32>,
    scales: &Tensor<S>,
    output: &mut Tensor<F>,
    first: u32,
    #[comptime] bits: usize,
    #[define(F, S, I)] _dtypes: [ElemType; 3],
) {
    let words = values.shape(1);
    let token = ABSOLUTE_POS / words;
    let word = ABSOLUTE_POS % words;
    if token < output.shape(0) {
        let per_word = comptime!(32 / bits);
        let input = word * per_word;
        let start = token * output.stride(0) + input;
        let id = u32::cast_from(ids[token]);
        if id >= first && ((id - first) as usize) < values.shape(0) {
            let row = (id - first) as usize;
            let packed = values[row * values.stride(0) + word];
            let scale = f32::cast_from(scales[row * scales.stride(0) + input / BLOCK]);
            #[unroll]
            for place in 0..per_word {
                output[start + place] = F::cast_from(weight(packed, place, bits) * scale);
            }
        } else {
            #[unroll]
            for place in 0..per_word {
                output[start + place] = F::new(0.0_f32);
            }
        }
    }
}

/// A quantized weight's parts on the device.
struct Packed {
    values: CubeTensor,
    scales: CubeTensor,
    scheme: QuantScheme,
}

impl Packed {
    /// None where the weight is not on a GPU, or Burn fuses operations.
    fn new(weight: &Matrix) -> Option<Self> {
        let tensor = DispatchTensor::try_into_backend(weight.clone().into_dispatch()).ok()?;
        let tensor: BackendTensor<CubeBackend> = tensor;
        let BackendTensor::Quantized(tensor) = tensor else { return None };
        let (values, scales) = tensor.quantized_handles()?;
        Some(Self { values, scales, scheme: *tensor.try_scheme()? })
    }

    fn bits(&self) -> usize {
        self.scheme.size_bits_value()
    }
}

/// [`crate::quantized::product`] of few rows.
pub(crate) fn multiplied(x: &Matrix, weight: &Matrix) -> Option<Matrix> {
    let packed = Packed::new(weight)?;
    let ([rows, _], [features, _]) = (x.dims(), weight.dims());
    let x = into_contiguous(x.clone().try_into_primitive::<CubeBackend>().ok()?);
    let output = empty_like(&x, [rows, features], x.dtype);
    let tile = rows.next_power_of_two().min(ROWS);
    let cubes = features.div_ceil(OUTPUTS);
    let (columns, layers) = (cubes.min(MAX_CUBES), cubes.div_ceil(MAX_CUBES));
    let dtypes = [dtype_to_storage_type(x.dtype), dtype_to_storage_type(packed.scales.dtype)];
    product_kernel::launch(
        &output.client,
        CubeCount::Static(columns as u32, rows.div_ceil(tile) as u32, layers as u32),
        CubeDim::new_2d(LANES as u32, OUTPUTS as u32),
        x.clone().into_tensor_arg(),
        packed.values.clone().into_tensor_arg(),
        packed.scales.clone().into_tensor_arg(),
        output.clone().into_tensor_arg(),
        packed.bits(),
        tile,
        dtypes,
    );
    Some(Matrix::from_primitive::<CubeBackend>(output))
}

/// [`crate::quantized::select`].
pub(crate) fn selected(weight: &Matrix, ids: &Ids, first: usize, dtype: DType) -> Option<Matrix> {
    let packed = Packed::new(weight)?;
    let ([tokens], [_, features]) = (ids.dims(), weight.dims());
    let ids = into_contiguous(ids.clone().try_into_primitive::<CubeBackend>().ok()?);
    let output = empty_like(&ids, [tokens, features], dtype);
    let units = tokens * features * packed.bits() / 32;
    let cube = CubeDim::new_1d(64);
    let dtypes = [
        dtype_to_storage_type(dtype),
        dtype_to_storage_type(packed.scales.dtype),
        dtype_to_storage_type(ids.dtype),
    ];
    select_kernel::launch(
        &output.client,
        cubecl::calculate_cube_count_elemwise(&output.client, units, cube),
        cube,
        ids.clone().into_tensor_arg(),
        packed.values.clone().into_tensor_arg(),
        packed.scales.clone().into_tensor_arg(),
        output.clone().into_tensor_arg(),
        first as u32,
        packed.bits(),
        dtypes,
    );
    Some(Matrix::from_primitive::<CubeBackend>(output))
}

fn empty_like(tensor: &CubeTensor, shape: [usize; 2], dtype: DType) -> CubeTensor {
    empty_device_dtype(tensor.client.clone(), tensor.device.clone(), Shape::new(shape), dtype)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, DeviceKind, TensorData};

    use super::*;
    use crate::quantized::{Quantization, product, select};

    /// Numbers between −1 and 1 without pattern.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// A weight on the device, and the numbers it stands for.
    fn weight(
        quantization: Quantization,
        shape: [usize; 2],
        dtype: DType,
        device: &Device,
    ) -> (Matrix, Vec<f32>) {
        let (bytes, scales) = quantization.quantize(&numbers(shape[0] * shape[1], 7));
        let floats = quantization.dequantize(&bytes, &scales);
        let data = quantization.device_data(bytes, &scales, shape, dtype);
        (Matrix::from_data(data, (device, dtype)), floats)
    }

    const FORMATS: [Quantization; 2] = [Quantization::Q8, Quantization::Q4];

    #[test]
    fn products_equal_those_of_floats() {
        let device = Device::wgpu(DeviceKind::DefaultDevice);
        for [outputs, inputs] in [[1, 32], [5, 64], [96, 352], [350, 96], [1030, 2048]] {
            for quantization in FORMATS {
                let dtype = DType::F32;
                let (weight, floats) = weight(quantization, [outputs, inputs], dtype, &device);
                for rows in [1, 2, 3, 7, 16, 17, 40] {
                    let x = numbers(rows * inputs, 3);
                    let data = TensorData::new(x.clone(), [rows, inputs]);
                    let found = product(Matrix::from_data(data, (&device, dtype)), &weight);
                    let found: Vec<f32> = found.into_data().iter::<f32>().collect();
                    for (index, found) in found.into_iter().enumerate() {
                        let (row, output) = (index / outputs, index % outputs);
                        let x = &x[row * inputs..][..inputs];
                        let weights = &floats[output * inputs..][..inputs];
                        let term = |(a, b): (&f32, &f32)| f64::from(*a) * f64::from(*b);
                        let terms = x.iter().zip(weights).map(term);
                        let expected: f64 = terms.clone().sum();
                        let size: f64 = terms.map(f64::abs).sum();
                        let error = (f64::from(found) - expected).abs();
                        let case = format!("{quantization:?} {outputs}×{inputs}, {rows} rows");
                        assert!(error < 1e-6 * size, "{case}: {found} instead of {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_equal_those_of_floats_and_foreign_rows_are_zero() {
        let device = Device::wgpu(DeviceKind::DefaultDevice);
        let (rows, features) = (50, 96);
        for quantization in FORMATS {
            for dtype in [DType::F32, DType::F16] {
                let (weight, floats) = weight(quantization, [rows, features], dtype, &device);
                let ids = [9, 10, 59, 60, 11, 0, 33];
                let tensor = Ids::from_ints(ids, &device);
                let found = select(&weight, tensor, 10, dtype);
                assert_eq!(found.dtype(), dtype);
                let found: Vec<f32> = found.into_data().iter::<f32>().collect();
                for (token, id) in ids.into_iter().enumerate() {
                    for (feature, found) in found[token * features..][..features].iter().enumerate()
                    {
                        let expected = match id {
                            10..60 => floats[(id as usize - 10) * features + feature],
                            _ => 0.0,
                        };
                        let error = (found - expected).abs();
                        assert!(error < 1e-3, "{quantization:?} {dtype:?} row {id}: {error}");
                    }
                }
            }
        }
    }
}
