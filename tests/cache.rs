//! Decoding with a cache against running everything anew.

use burn::tensor::{Device, Int, Tensor, TensorData};
use qwen2_5_vl::KvCache;

use crate::reference::{case, distance, model, values};

#[test]
fn cached_logits_equal_uncached_ones_whatever_the_step_and_block() {
    let device = Device::flex();
    let model = model(&device);
    let prompts = [case(0), case(3)];
    let batch = model.batch(&prompts).unwrap();
    let (_, prefix) = model.prefill(&batch);
    let tokens: Vec<i32> = (0..4 * 70).map(|place| place * 37 % 480).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(tokens, [4, 70]), &device);
    let whole = values(model.respond(ids.clone(), &prefix));
    for (step, block) in [(1, 1), (1, 64), (7, 1), (7, 16), (70, 64)] {
        let mut cache = KvCache::new(&prefix, 2, block);
        let pieces = (0..70 / step)
            .map(|piece| {
                let piece = ids.clone().slice([0..4, piece * step..(piece + 1) * step]);
                model.decode(piece, &prefix, &mut cache)
            })
            .collect();
        let worst = distance(&values(Tensor::cat(pieces, 1)), &whole);
        assert!(worst < 1e-4, "step {step}, block {block}: {worst}");
        assert_eq!(cache.length(), 70);
    }
}
