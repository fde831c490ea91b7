//! Choosing the next token of each response.

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, ElementConversion, ExecutionError, Int, Tensor, TensorData};
use qwen2_5_vl::indices;
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// How tokens are drawn; names and order of application as in Hugging Face's `generate`.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f64,
    /// Draws among the k likeliest tokens only.
    pub top_k: Option<usize>,
    /// Draws among the likeliest tokens that together reach this probability; 1 leaves all.
    pub top_p: f64,
    /// Leaves out tokens less likely than this share of the likeliest; 0 leaves all.
    pub min_p: f64,
    /// Divides the odds of tokens already present in prompt or response; 1 changes nothing.
    pub repetition_penalty: f64,
    /// The same seed on the same device draws the same tokens.
    pub seed: u64,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 0,
        }
    }
}

/// Candidates read from the device where only the likeliest tokens matter.
const CANDIDATES: usize = 256;

impl SamplingParams {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// Names the first value out of range.
    pub fn validate(&self) -> Result<(), String> {
        let checks = [
            ("temperature", self.temperature, 0.0..=f64::MAX, "0 or more"),
            ("top_p", self.top_p, f64::MIN_POSITIVE..=1.0, "above 0 and at most 1"),
            ("min_p", self.min_p, 0.0..=1.0, "between 0 and 1"),
            (
                "repetition_penalty",
                self.repetition_penalty,
                f64::MIN_POSITIVE..=f64::MAX,
                "above 0",
            ),
        ];
        for (name, value, range, rule) in checks {
            if !range.contains(&value) {
                return Err(format!("{name} is {value}, must be {rule}"));
            }
        }
        if self.top_k == Some(0) {
            return Err("top_k is 0, must be 1 or more".into());
        }
        Ok(())
    }

    fn truncates(&self) -> bool {
        self.top_k.is_some() || self.top_p < 1.0 || self.min_p > 0.0
    }
}

/// Draws tokens for a batch of responses, each with its own random stream.
pub(crate) struct Sampler {
    params: SamplingParams,
    streams: Vec<ChaCha8Rng>,
    /// Added to the logits: keeps ids that must not be drawn away, `[1, vocab_size]`.
    forbidden: Tensor<2>,
    /// 1 where the token is already present, `[responses, vocab_size]`; None without penalty.
    present: Option<Tensor<2>>,
}

impl Sampler {
    pub fn new(
        (params, streams): (&SamplingParams, &[u64]),
        prompts: &[&[u32]],
        responses: usize,
        never_sampled: &[u32],
        vocab_size: usize,
        device: &Device,
    ) -> Self {
        let mut forbidden = vec![0.0f32; vocab_size];
        for &id in never_sampled.iter().filter(|&&id| (id as usize) < vocab_size) {
            forbidden[id as usize] = f32::NEG_INFINITY;
        }
        let rows = prompts.len() * responses;
        let present = (params.repetition_penalty != 1.0).then(|| {
            let mut present = vec![0.0f32; rows * vocab_size];
            for (row, places) in present.chunks_mut(vocab_size).enumerate() {
                prompts[row / responses].iter().for_each(|&id| places[id as usize] = 1.0);
            }
            Tensor::from_data(TensorData::new(present, [rows, vocab_size]), (device, DType::F32))
        });
        let stream = |&row: &u64| {
            let mut stream = ChaCha8Rng::seed_from_u64(params.seed);
            stream.set_stream(row);
            stream
        };
        Self {
            params: params.clone(),
            streams: streams.iter().map(stream).collect(),
            forbidden: Tensor::from_data(
                TensorData::new(forbidden, [1, vocab_size]),
                (device, DType::F32),
            ),
            present,
        }
    }

    /// Leaves out all but some rows.
    pub fn select(&mut self, rows: &[usize]) {
        self.streams = rows.iter().map(|&row| self.streams[row].clone()).collect();
        self.present = self.present.take().map(|present| {
            let device = present.device();
            present.select(0, indices(rows, &device))
        });
    }

    /// Draws one token per row.
    ///
    /// # Shapes
    ///
    /// - logits: `[responses, vocab_size]`, f32
    /// - output: `[responses]`
    pub async fn draw(&mut self, logits: Tensor<2>) -> Result<Tensor<1, Int>, ExecutionError> {
        let [rows, vocab_size] = logits.dims();
        let device = logits.device();
        let mut logits = logits;
        if let Some(present) = &self.present {
            let penalty = self.params.repetition_penalty;
            let raised = logits.clone().clamp_min(0.0).div_scalar(penalty);
            let lowered = logits.clone().clamp_max(0.0).mul_scalar(penalty);
            let change = (raised + lowered - logits.clone()) * present.clone();
            logits = logits + change;
        }
        let logits = logits + self.forbidden.clone();
        let drawn = if self.params.temperature == 0.0 {
            logits.argmax(1).reshape([rows])
        } else {
            let uniforms: Vec<f32> = self.streams.iter_mut().map(uniform).collect();
            let probabilities = softmax(logits.div_scalar(self.params.temperature), 1);
            if self.params.truncates() {
                let ids = self.truncated(probabilities, &uniforms).await?;
                Tensor::from_data(TensorData::new(ids, [rows]), (&device, DType::I32))
            } else {
                inverse_cdf(probabilities, uniforms)
            }
        };
        if let Some(present) = self.present.take() {
            let places = drawn.clone().reshape([rows, 1]);
            let all =
                Tensor::<1, Int>::arange(0..vocab_size as i64, &device).reshape([1, vocab_size]);
            let new = all.equal(places).float();
            self.present = Some(present.max_pair(new));
        }
        Ok(drawn)
    }

    /// Draws among the likeliest tokens, on the host; the whole row is read only where the first
    /// candidates do not settle the cut.
    async fn truncated(
        &self,
        probabilities: Tensor<2>,
        uniforms: &[f32],
    ) -> Result<Vec<i32>, ExecutionError> {
        let [rows, vocab_size] = probabilities.dims();
        let wanted = self.params.top_k.unwrap_or(CANDIDATES).min(vocab_size);
        let (mut values, mut ids) = read_candidates(probabilities.clone(), wanted).await?;
        let mut count = wanted;
        let open = |row: &[f32]| self.kept(row, row.len() == vocab_size).is_none();
        if self.params.top_k.is_none() && values.chunks(count).any(open) {
            count = vocab_size;
            (values, ids) = read_candidates(probabilities, count).await?;
        }
        let choose = |row: usize| {
            let span = row * count..(row + 1) * count;
            let values = &values[span.clone()];
            let kept = self.kept(values, true).unwrap_or(1).max(1);
            let mut rest = uniforms[row] * values[..kept].iter().sum::<f32>();
            let place = values[..kept].iter().position(|&value| {
                rest -= value;
                rest < 0.0
            });
            ids[span][place.unwrap_or(kept - 1)]
        };
        Ok((0..rows).map(choose).collect())
    }

    /// How many of the sorted candidates stay; None where more candidates are needed to tell.
    fn kept(&self, sorted: &[f32], complete: bool) -> Option<usize> {
        let complete = complete || self.params.top_k.is_some();
        let total: f32 = if self.params.top_k.is_some() { sorted.iter().sum() } else { 1.0 };
        let mut kept = sorted.len();
        if self.params.top_p < 1.0 {
            let mut reached = 0.0;
            let enough = sorted.iter().position(|&value| {
                reached += value / total;
                f64::from(reached) >= self.params.top_p
            });
            match enough {
                Some(place) => kept = place + 1,
                None if complete => {}
                None => return None,
            }
        } else if !complete && self.params.min_p == 0.0 {
            return None;
        }
        if self.params.min_p > 0.0 {
            let floor = sorted[0] * self.params.min_p as f32;
            let above = sorted.partition_point(|&value| value >= floor);
            if above == sorted.len() && kept == sorted.len() && !complete {
                return None;
            }
            kept = kept.min(above);
        }
        // Tokens of probability 0 are forbidden or unreachable.
        Some(kept.min(sorted.partition_point(|&value| value > 0.0)))
    }
}

/// The `count` largest of each row with their places, largest first.
async fn read_candidates(
    probabilities: Tensor<2>,
    count: usize,
) -> Result<(Vec<f32>, Vec<i32>), ExecutionError> {
    let (values, ids) = probabilities.topk_with_indices(count, 1);
    let values = values.into_data_async().await?;
    let ids = ids.into_data_async().await?;
    Ok((values.iter::<f32>().collect(), ids.iter::<i32>().collect()))
}

/// For each row the first token whose cumulative probability exceeds the row's uniform number.
fn inverse_cdf(probabilities: Tensor<2>, uniforms: Vec<f32>) -> Tensor<1, Int> {
    let [rows, vocab_size] = probabilities.dims();
    let device = probabilities.device();
    let cumulative = probabilities.cumsum(1);
    let total = cumulative.clone().slice_dim(1, vocab_size - 1..vocab_size);
    let uniforms =
        Tensor::<2>::from_data(TensorData::new(uniforms, [rows, 1]), (&device, DType::F32));
    let below = cumulative.lower_equal((total * uniforms).expand([rows, vocab_size]));
    below.int().sum_dim(1).clamp_max((vocab_size as i64 - 1).elem::<i32>()).reshape([rows])
}

/// Uniform in [0, 1) with the 24 bits that f32 holds.
fn uniform(stream: &mut ChaCha8Rng) -> f32 {
    (stream.next_u32() >> 8) as f32 / (1u32 << 24) as f32
}
