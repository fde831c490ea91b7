//! The engine that JavaScript calls.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Cursor;
use std::ops::ControlFlow;
use std::rc::Rc;

use cppo::perturbation::Perturbation;
use generation::generate;
use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use perceive::Passes;
use qwen2_5_vl::weights::{Assembly, Shard};
use serde::{Deserialize, Serialize};
use serde_wasm_bindgen::{Serializer, from_value};
use session::{Companion, Parts, PerceiveRequest, Prepared, Pretrained, Request, SelfTest, Timing};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::AbortSignal;

use crate::device::Opened;
use crate::error::Failure;
use crate::pictures;
use crate::turn::Turns;

#[wasm_bindgen]
extern "C" {
    /// Milliseconds since some moment.
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}

unsafe extern "C" {
    /// Runs the constructors of static values, which the compiler of GPU kernels registers itself by.
    fn __wasm_call_ctors();
}

/// Runs once when the module is there.
#[wasm_bindgen(start)]
fn start() {
    // SAFETY: the linker defines it, and nothing else calls it. Were it not called here, the linker
    // would call it at each call from JavaScript.
    unsafe { __wasm_call_ctors() };
    console_error_panic_hook::set_once();
}

/// What the engine reads of an exported folder's `manifest.json`.
#[derive(Deserialize)]
struct Manifest {
    name: String,
    dtype: String,
    parameters: f64,
    selftest: Option<SelfTest>,
}

/// A model whose weights are still arriving.
struct Loading {
    manifest: Manifest,
    parts: Parts,
    assembly: Assembly,
    start: f64,
}

/// A model that answers.
struct Loaded {
    pretrained: Pretrained,
    selftest: Option<SelfTest>,
    load_s: f64,
}

/// One device with at most one model.
#[wasm_bindgen]
pub struct Engine {
    opened: Opened,
    loading: RefCell<Option<Loading>>,
    loaded: RefCell<Option<Rc<Loaded>>>,
    turns: Turns,
}

/// A generated token as `onToken` gets it.
#[derive(Serialize)]
struct Piece {
    index: usize,
    id: u32,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprob: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entropy: Option<f32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelInfo {
    name: String,
    parameters: f64,
    vocab_size: usize,
    max_position_embeddings: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageInfo {
    width: u32,
    height: u32,
    processed_width: u32,
    processed_height: u32,
    tokens: usize,
}

#[wasm_bindgen]
impl Engine {
    /// Opens a device: `auto`, `webgpu` or `cpu`.
    pub async fn open(device: String) -> Result<Engine, JsValue> {
        let turns = Turns::new().ok_or_else(|| Failure::new("panic", "no MessageChannel"))?;
        Ok(Self {
            opened: Opened::open(&device).await?,
            loading: RefCell::default(),
            loaded: RefCell::default(),
            turns,
        })
    }

    /// What computes.
    pub fn device(&self) -> Result<JsValue, JsValue> {
        to_js(&self.opened.about)
    }

    /// Settles with a message when the device is lost; undefined for the CPU.
    pub fn lost(&self) -> Option<Promise> {
        self.opened.lost.clone()
    }

    /// Ends the device as a crash of its driver would: for tests.
    #[wasm_bindgen(js_name = destroyDevice)]
    pub fn destroy_device(&self) {
        self.opened.destroy();
    }

    /// Starts to load a model: its manifest and small files, by name.
    pub fn begin(&self, manifest: JsValue, files: Object) -> Result<(), JsValue> {
        let manifest: Manifest = from_value(manifest).map_err(Failure::model)?;
        let mut companions: Vec<Companion> = Vec::new();
        for name in session::FILES {
            let file = Reflect::get(&files, &name.into())?;
            if let Some(bytes) = file.dyn_ref::<Uint8Array>() {
                companions.push((name, Cow::Owned(bytes.to_vec())));
            }
        }
        let parts = Parts::new(manifest.name.clone(), companions).map_err(Failure::from)?;
        let dtype = self.opened.dtype(&manifest.dtype);
        let assembly = Assembly::new(&parts.config, dtype, &self.opened.device);
        self.loaded.take();
        self.loading.replace(Some(Loading { manifest, parts, assembly, start: now() }));
        Ok(())
    }

    /// Brings the weights of one file to the device; the bytes may be dropped afterwards.
    #[wasm_bindgen(js_name = addShard)]
    pub async fn add_shard(&self, name: String, bytes: Vec<u8>) -> Result<(), JsValue> {
        let mut loading = self.take_loading()?;
        let mut shard = Shard::open(name, Cursor::new(bytes)).map_err(Failure::from)?;
        loading.assembly.add(&mut shard).map_err(Failure::from)?;
        drop(shard);
        // The device copies what it was given before the next file comes.
        self.opened.settle().await?;
        self.loading.replace(Some(loading));
        Ok(())
    }

    /// Ends loading.
    pub fn finish(&self) -> Result<JsValue, JsValue> {
        let Loading { manifest, parts, assembly, start } = self.take_loading()?;
        let model = assembly.finish().map_err(Failure::from)?;
        let text = &model.config().text_config;
        let info = ModelInfo {
            name: manifest.name,
            parameters: manifest.parameters,
            vocab_size: text.vocab_size,
            max_position_embeddings: text.max_position_embeddings,
        };
        let pretrained = Pretrained::new(model, parts);
        let load_s = (now() - start) / 1000.0;
        let loaded = Loaded { pretrained, selftest: manifest.selftest, load_s };
        self.loaded.replace(Some(Rc::new(loaded)));
        to_js(&info)
    }

    /// Sizes of a picture and the number of tokens that it becomes.
    #[wasm_bindgen(js_name = describeImage)]
    pub fn describe_image(&self, bytes: Uint8Array) -> Result<JsValue, JsValue> {
        let picture = &pictures::decode_all(&[bytes])?[0];
        let loaded = self.loaded()?;
        let processor = &loaded.pretrained.processor.image_processor;
        let (width, height) = picture.dimensions();
        let (processed_height, processed_width) =
            processor.resized(height, width).map_err(Failure::from)?;
        let side = processor.patch_size * processor.merge_size;
        let tokens = ((processed_height / side) * (processed_width / side)) as usize;
        to_js(&ImageInfo { width, height, processed_width, processed_height, tokens })
    }

    /// Answers; `on_token` is called with each token, and `signal` stops after the one at work.
    pub async fn generate(
        &self,
        request: JsValue,
        images: Vec<Uint8Array>,
        on_token: Function,
        signal: Option<AbortSignal>,
    ) -> Result<JsValue, JsValue> {
        let loaded = self.loaded()?;
        let pretrained = &loaded.pretrained;
        let request: Request = from_value(request).map_err(Failure::from)?;
        let pictures = pictures::decode_all(&images)?;
        let Prepared { mut prompt, usage, options } = request
            .prepare(pretrained, &pictures, self.opened.read_step())
            .map_err(Failure::from)?;
        let tokenizer = &pretrained.processor.tokenizer;
        let mut streams: Vec<_> = (0..options.n).map(|_| tokenizer.decode_stream(true)).collect();
        let mut timing = Timing { load: loaded.load_s, ..Default::default() };
        let start = now();
        pretrained.encode_images(&mut prompt, &pictures).map_err(Failure::of_generation)?;
        let mut failed = None;
        let completions = generate(&pretrained.model, &[prompt], &options, async |index, token| {
            if timing.first_token == 0.0 {
                timing.first_token = (now() - start) / 1000.0;
            }
            let piece = Piece {
                index,
                id: token.id,
                text: streams[index].push(token.id),
                logprob: Some(token.logprob).filter(|logprob| !logprob.is_nan()),
                entropy: Some(token.entropy).filter(|entropy| !entropy.is_nan()),
            };
            let called = to_js(&piece).and_then(|piece| on_token.call1(&JsValue::NULL, &piece));
            if let Err(error) = called {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            self.turns.turn().await;
            unless_aborted(signal.as_ref())
        })
        .await
        .map_err(Failure::of_generation)?;
        self.opened.check()?;
        if let Some(error) = failed {
            return Err(error);
        }
        timing.total = (now() - start) / 1000.0;
        let responses: Vec<serde_json::Value> = completions
            .iter()
            .enumerate()
            .map(|(index, completion)| pretrained.response(index, completion, usage, timing))
            .collect();
        to_js(&responses)
    }

    /// Says which tokens of a response come from the pictures; `on_pass` is called with the passes
    /// over them that are done, and `signal` stops after the one at work.
    pub async fn perceive(
        &self,
        request: JsValue,
        images: Vec<Uint8Array>,
        on_pass: Option<Function>,
        signal: Option<AbortSignal>,
    ) -> Result<JsValue, JsValue> {
        let loaded = self.loaded()?;
        let request: PerceiveRequest = from_value(request).map_err(Failure::from)?;
        let pictures = pictures::decode_all(&images)?;
        let mut told = None;
        let mut failed = None;
        let go_on = async |passes: Passes| {
            if failed.is_some() {
                return ControlFlow::Break(());
            }
            if let Some(on_pass) = on_pass.as_ref().filter(|_| told != Some(passes)) {
                told = Some(passes);
                let Passes { done, total } = passes;
                let called = on_pass.call2(&JsValue::NULL, &done.into(), &total.into());
                if let Err(error) = called {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            self.turns.turn().await;
            unless_aborted(signal.as_ref())
        };
        let read_step = self.opened.read_step();
        let perceived = loaded
            .pretrained
            .perceive(&request, &request.options(), &pictures, read_step, go_on)
            .await;
        self.opened.check()?;
        if let Some(error) = failed {
            return Err(error);
        }
        let perceived = perceived.map_err(Failure::from)?;
        let result = to_js(&loaded.pretrained.perceived(&perceived))?;
        let images = Object::new();
        for (name, pictures) in
            [("removed", &perceived.removed), ("preserved", &perceived.preserved)]
        {
            let list = js_sys::Array::new();
            for picture in pictures {
                list.push(&JsValue::from(pictures::png(picture)?));
            }
            Reflect::set(&images, &name.into(), &list)?;
        }
        Reflect::set(&result, &"images".into(), &images)?;
        Ok(result)
    }

    /// The kinds of perturbations, and whether each removes information by its default parameters.
    pub fn perturbations(&self) -> Result<JsValue, JsValue> {
        to_js(&pictures::kinds())
    }

    /// A picture after a perturbation, as PNG.
    pub fn perturb(
        &self,
        kind: JsValue,
        image: Uint8Array,
        seed: u32,
    ) -> Result<Uint8Array, JsValue> {
        let kind: Perturbation = from_value(kind).map_err(Failure::from)?;
        let picture = &pictures::decode_all(&[image])?[0];
        Ok(pictures::png(&pictures::perturb(&kind, picture, u64::from(seed))?)?)
    }

    /// A question about a generated picture of the perception gym; an empty family takes all.
    #[wasm_bindgen(js_name = gymItem)]
    pub fn gym_item(&self, family: String, index: u32) -> Result<JsValue, JsValue> {
        to_js(&pictures::gym_item(&family, index)?)
    }

    /// Compares a fixed case with the values that the native program computed for this model.
    pub async fn selftest(&self) -> Result<JsValue, JsValue> {
        let loaded = self.loaded()?;
        let case = loaded
            .selftest
            .as_ref()
            .ok_or_else(|| Failure::request("this model's manifest has no self-test"))?;
        let report = case.run(&loaded.pretrained).await.map_err(Failure::from)?;
        self.opened.check()?;
        to_js(&report)
    }

    /// Drops the model; what is being answered goes on to its end.
    pub fn unload(&self) {
        self.loading.take();
        self.loaded.take();
    }
}

impl Engine {
    fn loaded(&self) -> Result<Rc<Loaded>, Failure> {
        self.loaded.borrow().clone().ok_or_else(|| Failure::request("no model is loaded"))
    }

    fn take_loading(&self) -> Result<Loading, Failure> {
        self.loading.take().ok_or_else(|| Failure::request("call begin before the weights"))
    }
}

fn unless_aborted(signal: Option<&AbortSignal>) -> ControlFlow<()> {
    match signal.is_some_and(AbortSignal::aborted) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// Plain objects with plain numbers, as `JSON.parse` would make.
fn to_js(value: &impl Serialize) -> Result<JsValue, JsValue> {
    let value = value.serialize(&Serializer::json_compatible());
    Ok(value.map_err(Failure::from)?)
}
