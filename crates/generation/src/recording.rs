//! Scoring that can be differentiated later: a forward now, a backward once the cotangents are known.

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{DType, Int, Tensor, TensorData};
use qwen2_5_vl::{Prompt, PromptBatch, PromptError, Qwen2_5_VL};

use crate::head::{self, Divergence};
use crate::layers::Layers;
use crate::score::{Scores, predictors, response_ids, score_hidden};
use crate::sharing::Sharing;

/// How a backward gets its activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activations {
    /// Every operation's are kept from the forward: fastest.
    Stored,
    /// Each layer's input is kept, and the layer runs again in backward: least memory.
    Recomputed,
}

/// What a backward needs besides the cotangents.
#[derive(Clone, Copy, Debug)]
pub struct RecordOptions {
    /// Divides the logits.
    pub temperature: f64,
    /// Memory against time.
    pub activations: Activations,
    /// False leaves the vision tower without gradient, and skips its backward.
    pub train_vision: bool,
}

/// Derivatives of a loss by the scores, row-major `[responses, tokens]`.
#[derive(Clone, Copy, Debug)]
pub struct ScoreCotangents<'a> {
    /// By the log-probabilities.
    pub logprobs: &'a [f32],
    /// By the entropies.
    pub entropies: &'a [f32],
    /// By divergences between this recording's distributions and another's.
    pub divergences: &'a [Divergence<'a>],
}

/// The forward pass of prompts and responses, ready for a backward.
#[derive(Debug)]
pub struct Recording {
    /// The weights as leaves of this recording's own graph: graphs that share leaves cannot run
    /// side by side.
    model: Qwen2_5_VL,
    options: RecordOptions,
    ids: Tensor<2, Int>,
    /// Hidden states from which the tokens were predicted, `[responses · tokens, hidden_size]`.
    predicting: Tensor<2>,
    activations: Kept,
}

#[derive(Debug)]
enum Kept {
    /// `predicting` as the end of its graph.
    Graph(Box<Tensor<2>>),
    Layers(Box<Layers>),
}

impl Recording {
    /// Runs prompts and responses through `model`, which must be on an autodiff device.
    ///
    /// `responses` holds `counts[i]` responses to prompt `i`, prompt after prompt.
    ///
    /// # Errors
    ///
    /// When a prompt does not fit the model, has no responses, or has its images encoded already.
    pub fn new(
        model: &Qwen2_5_VL,
        prompts: &[Prompt],
        counts: &[usize],
        responses: &[Vec<u32>],
        options: RecordOptions,
    ) -> Result<Self, PromptError> {
        if prompts.iter().any(|prompt| prompt.image_embeds.is_some()) {
            return Err(PromptError::Encoded);
        }
        let model = model.clone().map(&mut Leaves);
        let plain = model.valid();
        let sharing = Sharing::new(counts)?;
        let ids = response_ids(&plain, counts, responses)?;
        let (predicting, activations) = match options.activations {
            Activations::Recomputed => {
                let layers = Layers::forward(&plain, plain.batch(prompts)?, sharing, ids.clone());
                (layers.predicting(&plain), Kept::Layers(Box::new(layers)))
            }
            Activations::Stored => {
                let batch = plain.batch(prompts)?;
                let vision = if options.train_vision { &model } else { &plain };
                let end = graph(&model, vision, &batch, &sharing, ids.clone());
                (end.clone().inner(), Kept::Graph(Box::new(end)))
            }
        };
        Ok(Self { model, options, ids, predicting, activations })
    }

    /// Log-probability and entropy of each response token.
    pub fn scores(&self) -> Scores {
        let (ids, temperature) = (self.ids.clone(), self.options.temperature);
        score_hidden(&self.model.valid(), self.predicting.clone(), ids, temperature)
    }

    /// The hidden states that another recording's [`Divergence`] refers to.
    pub fn predicting(&self) -> &Tensor<2> {
        &self.predicting
    }

    /// Gradient of `Σ score · cotangent` for every parameter.
    pub fn backward(self, cotangents: &ScoreCotangents) -> GradientsParams {
        let Self { model, options, ids, predicting, activations } = self;
        let mut sum = Sum { model: &model, gradients: GradientsAccumulator::new() };
        let targets = ids.clone().reshape([-1]);
        let d_predicting =
            head::backward(&mut sum, predicting, targets, options.temperature, cotangents);
        match activations {
            Kept::Graph(end) => sum.pull((*end * d_predicting).sum()),
            Kept::Layers(layers) => {
                layers.backward(&mut sum, ids, d_predicting, options.train_vision);
            }
        }
        sum.gradients.grads()
    }
}

/// Makes every trained parameter a leaf of its own; frozen ones belong to no graph.
struct Leaves;

impl ModuleMapper for Leaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        param.map(|tensor| tensor.detach().require_grad())
    }
}

/// The whole forward as one graph, up to the hidden states that predict the response tokens.
fn graph(
    model: &Qwen2_5_VL,
    vision: &Qwen2_5_VL,
    batch: &PromptBatch,
    sharing: &Sharing,
    ids: Tensor<2, Int>,
) -> Tensor<2> {
    let features = vision.image_features(batch);
    let (hidden, prefix) = model.prefill_embedded(batch, model.embed_prompts(batch, features));
    let prefix = sharing.prefix(prefix, batch.longest, model);
    let last = sharing.rows(model.last_hidden(hidden, batch), model);
    predictors(last, model.respond(ids, &prefix))
}

/// Gradients of a model's parameters, added up stage by stage.
pub(crate) struct Sum<'a> {
    pub model: &'a Qwen2_5_VL,
    pub gradients: GradientsAccumulator<Qwen2_5_VL>,
}

impl Sum<'_> {
    /// Adds the gradient of a loss; of one that depends on frozen parameters alone there is none.
    pub fn pull(&mut self, loss: Tensor<1>) {
        if loss.is_tracked() {
            self.add(loss.backward());
        }
    }

    pub fn add(&mut self, gradients: burn::tensor::Gradients) {
        let gradients = GradientsParams::from_grads(gradients, self.model);
        self.gradients.accumulate(self.model, gradients);
    }
}

/// Numbers from the host, on the model's device without autodiff.
pub(crate) fn floats(values: Vec<f32>, model: &Qwen2_5_VL) -> Tensor<1> {
    let length = values.len();
    let device = model.device().without_autodiff();
    Tensor::from_data(TensorData::new(values, [length]), (&device, DType::F32))
}
