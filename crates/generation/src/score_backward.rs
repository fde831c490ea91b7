//! Scoring with gradient, one layer's activations in memory at a time.
//!
//! Burn cannot recompute a whole block in backward, so the chain rule is applied by hand: a plain
//! forward keeps each layer's input, then each layer runs again, from last to first, on an
//! autodiff leaf whose gradient is the cotangent of the layer before.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Gradients, Tensor};
use qwen2_5_vl::text::Pass;
use qwen2_5_vl::{Prompt, PromptBatch, PromptError, Qwen2_5_VL};

use crate::score::{Scores, chunk_rows, predictors, response_ids, score_hidden, token_scores};

/// Gradient of `Σ logprobs · cotangent` for every parameter, and the scores themselves.
///
/// Equals the plain backward through [`crate::score`]. `model` must be on an autodiff device.
///
/// # Shapes
///
/// - responses: as in [`crate::score`]
/// - cotangent: `[responses, tokens]`, without autodiff; zero after a response's end
///
/// # Errors
///
/// When a prompt does not fit the model, or there are no responses.
pub fn score_backward(
    model: &Qwen2_5_VL,
    prompts: &[Prompt],
    responses: &[Vec<u32>],
    temperature: f64,
    cotangent: Tensor<2>,
) -> Result<(Scores, GradientsParams), PromptError> {
    let plain = model.valid();
    let batch = plain.batch(prompts)?;
    let ids = response_ids(&plain, prompts.len(), responses)?;
    let kept = Kept::forward(&plain, &batch, ids.clone());
    let predicting =
        predictors(plain.last_hidden(kept.last_prompt(), &batch), kept.last_response());
    let scores = score_hidden(&plain, predicting.clone(), ids.clone(), temperature);

    let tracked = model.batch(prompts)?;
    let ids = response_ids(model, prompts.len(), responses)?;
    let mut sum = Accumulator { model, sum: GradientsAccumulator::new() };
    let d_predicting = sum.head(predicting, ids.clone().reshape([-1]), temperature, cotangent);
    let d_hidden = sum.predictors(&kept, &tracked, d_predicting);
    let d_embedded = sum.layers(&kept, &tracked, d_hidden);
    let d_features = sum.embeddings(&kept, &tracked, ids, d_embedded);
    if let Some(d_features) = d_features {
        sum.vision(&kept, &tracked, d_features);
    }
    Ok((scores, sum.sum.grads()))
}

/// The inputs of every stage, without graph.
struct Kept {
    /// Hidden states before each vision block, and after the last.
    patches: Vec<Tensor<2>>,
    features: Option<Tensor<2>>,
    /// Prompts' and responses' hidden states before each layer, and after the last.
    hidden: Vec<(Tensor<3>, Tensor<3>)>,
}

impl Kept {
    fn forward(model: &Qwen2_5_VL, batch: &PromptBatch, ids: Tensor<2, burn::tensor::Int>) -> Self {
        let mut patches = Vec::new();
        let features = batch.pixel_values.clone().map(|pixels| {
            let plan = model.visual.plan(&batch.image_grid_thw, &model.device());
            patches.push(model.visual.embed_patches(pixels, &plan));
            for block in &model.visual.blocks {
                patches.push(block.forward(patches[patches.len() - 1].clone(), &plan));
            }
            model.visual.merge(patches[patches.len() - 1].clone(), &plan)
        });
        let mut hidden =
            vec![(model.embed_prompts(batch, features.clone()), model.embed_responses(ids))];
        let setting = Setting::new(model, batch, &hidden[0].1);
        for layer in 0..model.model.layers.len() {
            let (prompt, response) = hidden[layer].clone();
            hidden.push(setting.layer(model, layer, prompt, response));
        }
        Self { patches, features, hidden }
    }

    fn last_prompt(&self) -> Tensor<3> {
        self.hidden[self.hidden.len() - 1].0.clone()
    }

    fn last_response(&self) -> Tensor<3> {
        self.hidden[self.hidden.len() - 1].1.clone()
    }
}

/// How prompts and responses attend, the same in every layer.
struct Setting<'a> {
    batch: &'a PromptBatch,
    prefix: qwen2_5_vl::Prefix,
    rope: qwen2_5_vl::Rope,
    mask: qwen2_5_vl::Mask,
    responses: usize,
}

impl<'a> Setting<'a> {
    fn new(model: &Qwen2_5_VL, batch: &'a PromptBatch, response: &Tensor<3>) -> Self {
        let [rows, tokens, _] = response.dims();
        let responses = rows / batch.lengths.len();
        let prefix = model.prefix(batch, Vec::new());
        let (rope, mask) = model.response_pass(&prefix, responses, tokens);
        Self { batch, prefix, rope, mask, responses }
    }

    fn layer(
        &self,
        model: &Qwen2_5_VL,
        index: usize,
        prompt: Tensor<3>,
        response: Tensor<3>,
    ) -> (Tensor<3>, Tensor<3>) {
        let layer = &model.model.layers[index];
        let pass = Pass { rope: &self.batch.rope, responses: 1, mask: &self.batch.causal };
        let (prompt, shared) = layer.prompt(prompt, pass);
        let pass = Pass { rope: &self.rope, responses: self.responses, mask: &self.mask };
        (prompt, layer.response(response, pass, (&shared, &self.prefix.mask)))
    }
}

/// A stage's input as an autodiff leaf.
fn leaf<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone().autodiff().require_grad()
}

/// `Σ y · dy`, whose gradient is what `dy` pulls back to.
fn pulled<const D: usize>(y: Tensor<D>, dy: Tensor<D>) -> Tensor<1> {
    (y * dy.autodiff()).sum()
}

/// The gradient of a leaf, zero where nothing depends on it.
fn taken<const D: usize>(x: &Tensor<D>, gradients: &mut Gradients) -> Tensor<D> {
    x.grad_remove(gradients).unwrap_or_else(|| x.clone().inner().zeros_like())
}

struct Accumulator<'a> {
    model: &'a Qwen2_5_VL,
    sum: GradientsAccumulator<Qwen2_5_VL>,
}

impl Accumulator<'_> {
    fn add(&mut self, gradients: Gradients) {
        let gradients = GradientsParams::from_grads(gradients, self.model);
        self.sum.accumulate(self.model, gradients);
    }

    /// Last norm, head and log-probabilities, in row chunks.
    fn head(
        &mut self,
        predicting: Tensor<2>,
        targets: Tensor<1, burn::tensor::Int>,
        temperature: f64,
        cotangent: Tensor<2>,
    ) -> Tensor<2> {
        let step = chunk_rows(self.model);
        let [tokens] = targets.dims();
        let mut d_chunks = Vec::new();
        for start in (0..tokens).step_by(step) {
            let rows = start..(start + step).min(tokens);
            let x = leaf(&predicting.clone().slice_dim(0, rows.clone()));
            let targets = targets.clone().slice_dim(0, rows.clone());
            let logits = self.model.logits(x.clone());
            let (logprobs, _) = token_scores(logits, targets, temperature);
            let cotangent = cotangent.clone().reshape([tokens]).slice_dim(0, rows);
            let mut gradients = pulled(logprobs, cotangent).backward();
            d_chunks.push(taken(&x, &mut gradients));
            self.add(gradients);
        }
        Tensor::cat(d_chunks, 0)
    }

    fn predictors(
        &mut self,
        kept: &Kept,
        batch: &PromptBatch,
        d_predicting: Tensor<2>,
    ) -> (Tensor<3>, Tensor<3>) {
        let (prompt, response) = (leaf(&kept.last_prompt()), leaf(&kept.last_response()));
        let last = self.model.last_hidden(prompt.clone(), batch);
        let mut gradients = pulled(predictors(last, response.clone()), d_predicting).backward();
        (taken(&prompt, &mut gradients), taken(&response, &mut gradients))
    }

    fn layers(
        &mut self,
        kept: &Kept,
        batch: &PromptBatch,
        mut d_hidden: (Tensor<3>, Tensor<3>),
    ) -> (Tensor<3>, Tensor<3>) {
        let setting = Setting::new(self.model, batch, &kept.hidden[0].1);
        for index in (0..self.model.model.layers.len()).rev() {
            let (prompt, response) = &kept.hidden[index];
            let (prompt, response) = (leaf(prompt), leaf(response));
            let outputs = setting.layer(self.model, index, prompt.clone(), response.clone());
            let loss = pulled(outputs.0, d_hidden.0) + pulled(outputs.1, d_hidden.1);
            let mut gradients = loss.backward();
            d_hidden = (taken(&prompt, &mut gradients), taken(&response, &mut gradients));
            self.add(gradients);
        }
        d_hidden
    }

    fn embeddings(
        &mut self,
        kept: &Kept,
        batch: &PromptBatch,
        ids: Tensor<2, burn::tensor::Int>,
        d_embedded: (Tensor<3>, Tensor<3>),
    ) -> Option<Tensor<2>> {
        let features = kept.features.as_ref().map(leaf);
        let prompt = self.model.embed_prompts(batch, features.clone());
        let response = self.model.embed_responses(ids);
        let loss = pulled(prompt, d_embedded.0) + pulled(response, d_embedded.1);
        let mut gradients = loss.backward();
        let d_features = features.map(|features| taken(&features, &mut gradients));
        self.add(gradients);
        d_features
    }

    fn vision(&mut self, kept: &Kept, batch: &PromptBatch, d_features: Tensor<2>) {
        let visual = &self.model.visual;
        let plan = visual.plan(&batch.image_grid_thw, &self.model.device());
        let mut hidden = leaf(&kept.patches[visual.blocks.len()]);
        let mut gradients = pulled(visual.merge(hidden.clone(), &plan), d_features).backward();
        let mut d_hidden = taken(&hidden, &mut gradients);
        self.add(gradients);
        for (block, input) in visual.blocks.iter().zip(&kept.patches).rev() {
            hidden = leaf(input);
            let mut gradients = pulled(block.forward(hidden.clone(), &plan), d_hidden).backward();
            d_hidden = taken(&hidden, &mut gradients);
            self.add(gradients);
        }
        let Some(pixels) = batch.pixel_values.clone() else { return };
        self.add(pulled(visual.embed_patches(pixels, &plan), d_hidden).backward());
    }
}
