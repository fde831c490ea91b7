//! Backward with one layer's activations in memory at a time.
//!
//! Burn cannot recompute a whole block in backward, so the chain rule is applied by hand: a plain
//! forward keeps each layer's input, then each layer runs again, from last to first, on an
//! autodiff leaf whose gradient is the cotangent of the layer before.

use burn::tensor::{Gradients, Int, Tensor};
use qwen2_5_vl::text::Pass;
use qwen2_5_vl::{Mask, Prefix, PromptBatch, Qwen2_5_VL, Rope};

use crate::recording::Sum;
use crate::score::predictors;
use crate::sharing::Sharing;

/// The inputs of every stage, without graph.
#[derive(Debug)]
pub(crate) struct Layers {
    batch: PromptBatch,
    sharing: Sharing,
    /// Hidden states before each vision block, and after the last.
    patches: Vec<Tensor<2>>,
    features: Option<Tensor<2>>,
    /// Prompts' and responses' hidden states before each layer, and after the last.
    hidden: Vec<(Tensor<3>, Tensor<3>)>,
}

impl Layers {
    /// Runs the model on a device without autodiff.
    pub fn forward(
        model: &Qwen2_5_VL,
        batch: PromptBatch,
        sharing: Sharing,
        ids: Tensor<2, Int>,
    ) -> Self {
        let mut patches = Vec::new();
        let features = model.pixels(&batch).map(|pixels| {
            let plan = model.visual.plan(&batch.image_grid_thw, &model.device());
            patches.push(model.visual.embed_patches(pixels, &plan));
            for block in &model.visual.blocks {
                patches.push(block.forward(patches[patches.len() - 1].clone(), &plan));
            }
            model.visual.merge(patches[patches.len() - 1].clone(), &plan)
        });
        let mut hidden =
            vec![(model.embed_prompts(&batch, features.clone()), model.embed_responses(ids))];
        let setting = Setting::new(model, &batch, &sharing, &hidden[0].1);
        for layer in 0..model.model.layers.len() {
            let (prompt, response) = hidden[layer].clone();
            hidden.push(setting.layer(model, layer, prompt, response));
        }
        Self { batch, sharing, patches, features, hidden }
    }

    fn last(&self) -> &(Tensor<3>, Tensor<3>) {
        &self.hidden[self.hidden.len() - 1]
    }

    /// The hidden states that predict the response tokens.
    pub fn predicting(&self, model: &Qwen2_5_VL) -> Tensor<2> {
        let (prompt, response) = self.last().clone();
        predictors(self.last_of_prompts(model, prompt), response)
    }

    fn last_of_prompts(&self, model: &Qwen2_5_VL, prompt: Tensor<3>) -> Tensor<2> {
        self.sharing.rows(model.last_hidden(prompt, &self.batch), model)
    }

    /// Pulls the cotangent of [`Self::predicting`] back to every parameter.
    pub fn backward(
        &self,
        sum: &mut Sum,
        ids: Tensor<2, Int>,
        d_predicting: Tensor<2>,
        train_vision: bool,
    ) {
        let d_hidden = self.predictors(sum.model, d_predicting);
        let d_embedded = self.layers(sum, d_hidden);
        let d_features = self.embeddings(sum, ids, d_embedded, train_vision);
        if let Some(d_features) = d_features {
            self.vision(sum, d_features);
        }
    }

    fn predictors(&self, model: &Qwen2_5_VL, d_predicting: Tensor<2>) -> (Tensor<3>, Tensor<3>) {
        let (prompt, response) = self.last();
        let (prompt, response) = (leaf(prompt), leaf(response));
        let last = self.last_of_prompts(model, prompt.clone());
        let mut gradients = pulled(predictors(last, response.clone()), d_predicting).backward();
        (taken(&prompt, &mut gradients), taken(&response, &mut gradients))
    }

    fn layers(
        &self,
        sum: &mut Sum,
        mut d_hidden: (Tensor<3>, Tensor<3>),
    ) -> (Tensor<3>, Tensor<3>) {
        let setting = Setting::new(sum.model, &self.batch, &self.sharing, &self.hidden[0].1);
        for index in (0..sum.model.model.layers.len()).rev() {
            let (prompt, response) = &self.hidden[index];
            let (prompt, response) = (leaf(prompt), leaf(response));
            let outputs = setting.layer(sum.model, index, prompt.clone(), response.clone());
            let loss = pulled(outputs.0, d_hidden.0) + pulled(outputs.1, d_hidden.1);
            let mut gradients = loss.backward();
            d_hidden = (taken(&prompt, &mut gradients), taken(&response, &mut gradients));
            sum.add(gradients);
        }
        d_hidden
    }

    fn embeddings(
        &self,
        sum: &mut Sum,
        ids: Tensor<2, Int>,
        d_embedded: (Tensor<3>, Tensor<3>),
        train_vision: bool,
    ) -> Option<Tensor<2>> {
        let leaf = |x: &Tensor<2>| if train_vision { leaf(x) } else { x.clone() };
        let features = self.features.as_ref().map(leaf);
        let prompt = sum.model.embed_prompts(&self.batch, features.clone());
        let response = sum.model.embed_responses(ids);
        let loss = pulled(prompt, d_embedded.0) + pulled(response, d_embedded.1);
        if !loss.is_tracked() {
            return None;
        }
        let mut gradients = loss.backward();
        let d_features =
            features.filter(|_| train_vision).map(|features| taken(&features, &mut gradients));
        sum.add(gradients);
        d_features
    }

    fn vision(&self, sum: &mut Sum, d_features: Tensor<2>) {
        let visual = &sum.model.visual;
        let plan = visual.plan(&self.batch.image_grid_thw, &sum.model.device());
        let mut hidden = leaf(&self.patches[visual.blocks.len()]);
        let mut gradients = pulled(visual.merge(hidden.clone(), &plan), d_features).backward();
        let mut d_hidden = taken(&hidden, &mut gradients);
        sum.add(gradients);
        for (block, input) in visual.blocks.iter().zip(&self.patches).rev() {
            hidden = leaf(input);
            let mut gradients = pulled(block.forward(hidden.clone(), &plan), d_hidden).backward();
            d_hidden = taken(&hidden, &mut gradients);
            sum.add(gradients);
        }
        let Some(pixels) = sum.model.pixels(&self.batch) else { return };
        sum.pull(pulled(visual.embed_patches(pixels, &plan), d_hidden));
    }
}

/// How prompts and responses attend, the same in every layer.
struct Setting<'a> {
    batch: &'a PromptBatch,
    sharing: &'a Sharing,
    prefix: Prefix,
    rope: Rope,
    mask: Mask,
}

impl<'a> Setting<'a> {
    fn new(
        model: &Qwen2_5_VL,
        batch: &'a PromptBatch,
        sharing: &'a Sharing,
        response: &Tensor<3>,
    ) -> Self {
        let [_, tokens, _] = response.dims();
        let prefix = sharing.prefix(model.prefix(batch, Vec::new()), batch.longest, model);
        let (rope, mask) = model.response_pass(&prefix, sharing.responses, tokens);
        Self { batch, sharing, prefix, rope, mask }
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
        let shared = self.sharing.keys(shared, model);
        let responses = self.sharing.responses;
        let pass = Pass { rope: &self.rope, responses, mask: &self.mask };
        (prompt, layer.response(response, pass, (&shared, &self.prefix.mask)))
    }
}

/// A stage's input as an autodiff leaf.
fn leaf<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone().autodiff().require_grad()
}

/// `Σ y · dy`, whose gradient is what `dy` pulls back to.
fn pulled<const D: usize>(y: Tensor<D>, dy: Tensor<D>) -> Tensor<1> {
    (y * dy).sum()
}

/// The gradient of a leaf, zero where nothing depends on it.
fn taken<const D: usize>(x: &Tensor<D>, gradients: &mut Gradients) -> Tensor<D> {
    x.grad_remove(gradients).unwrap_or_else(|| x.clone().inner().zeros_like())
}
