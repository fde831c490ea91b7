//! Tensors summed over ranks, many small ones in one exchange.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use qwen2_5_vl::Qwen2_5_VL;

use super::{Collective, CollectiveError};

/// Numbers exchanged at once: 64 MiB, enough to fill a network and little beside a model.
const BUCKET: usize = 1 << 24;

/// A flat tensor to sum: this rank's part, or zeros where it has none.
pub struct Addend {
    /// `[length]`
    pub own: Option<Tensor<1>>,
    /// Numbers in the tensor.
    pub length: usize,
}

/// Sums tensors over all ranks, which bring tensors of the same lengths.
///
/// # Errors
///
/// As [`Collective::all_reduce`].
pub fn sum_tensors(
    ranks: &dyn Collective,
    what: &str,
    addends: Vec<Addend>,
    device: &Device,
) -> Result<Vec<Tensor<1>>, CollectiveError> {
    let mut sums = Vec::with_capacity(addends.len());
    let (mut bucket, mut lengths) = (Vec::new(), Vec::new());
    let mut exchange = |bucket: &mut Vec<f32>, lengths: &mut Vec<usize>| {
        ranks.all_reduce(what, bucket)?;
        let mut rest = bucket.as_slice();
        for length in lengths.drain(..) {
            let (values, after) = rest.split_at(length);
            rest = after;
            let data = TensorData::new(values.to_vec(), [length]);
            sums.push(Tensor::from_data(data, (device, DType::F32)));
        }
        bucket.clear();
        Ok(())
    };
    for Addend { own, length } in addends {
        if !bucket.is_empty() && bucket.len() + length > BUCKET {
            exchange(&mut bucket, &mut lengths)?;
        }
        match own {
            Some(own) => bucket.extend(own.into_data().iter::<f32>()),
            None => bucket.resize(bucket.len() + length, 0.0),
        }
        lengths.push(length);
    }
    exchange(&mut bucket, &mut lengths)?;
    Ok(sums)
}

/// Sums gradients over all ranks; a parameter has one where any rank has one for it.
///
/// # Errors
///
/// As [`Collective::all_reduce`].
pub fn sum_gradients(
    ranks: &dyn Collective,
    model: &Qwen2_5_VL,
    gradients: GradientsParams,
) -> Result<GradientsParams, CollectiveError> {
    if ranks.size() == 1 {
        return Ok(gradients);
    }
    let mut taken = Take { gradients, addends: Vec::new() };
    model.visit(&mut taken);
    let has = |addend: &Addend| f32::from(u8::from(addend.own.is_some()));
    let mut present: Vec<f32> = taken.addends.iter().map(has).collect();
    ranks.all_reduce("which gradients there are", &mut present)?;
    let present: Vec<bool> = present.into_iter().map(|ranks| ranks > 0.0).collect();
    let addends = taken.addends.into_iter().zip(&present).filter(|(_, present)| **present);
    let addends = addends.map(|(addend, _)| addend).collect();
    let device = model.device().inner();
    let sums = sum_tensors(ranks, "gradients", addends, &device)?;
    let mut put = Put {
        present: present.into_iter(),
        sums: sums.into_iter(),
        gradients: GradientsParams::new(),
    };
    model.visit(&mut put);
    Ok(put.gradients)
}

struct Take {
    gradients: GradientsParams,
    addends: Vec<Addend>,
}

impl ModuleVisitor for Take {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let own = self.gradients.remove::<D>(param.id).map(|gradient| gradient.flatten(0, D - 1));
        self.addends.push(Addend { own, length: param.lazy_shape().num_elements() });
    }
}

struct Put<P, S> {
    present: P,
    sums: S,
    gradients: GradientsParams,
}

impl<P: Iterator<Item = bool>, S: Iterator<Item = Tensor<1>>> ModuleVisitor for Put<P, S> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.present.next() == Some(true) {
            let sum = self.sums.next().expect("a sum for every gradient");
            self.gradients.register::<D>(param.id, sum.reshape(param.lazy_shape()));
        }
    }
}
