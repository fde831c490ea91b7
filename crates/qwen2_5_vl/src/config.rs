//! Model configuration, read from and written to Hugging Face's `config.json`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::ConfigError;

/// Sizes and special tokens of a Qwen2.5-VL model, as in Hugging Face's `Qwen2_5_VLConfig`.
///
/// Both forms of `config.json` are read: the nested one of today (`text_config`,
/// `rope_parameters`) and the flat one of the hub (text keys at top level, `rope_scaling`).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Qwen2_5_VLConfig {
    pub text_config: TextConfig,
    pub vision_config: VisionConfig,
    pub image_token_id: u32,
    pub video_token_id: u32,
    pub vision_start_token_id: u32,
    pub vision_end_token_id: u32,
    pub tie_word_embeddings: bool,
}

/// Sizes of the text decoder, as in Hugging Face's `Qwen2_5_VLTextConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TextConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    #[serde(default = "silu")]
    pub hidden_act: String,
    #[serde(default = "rms_norm_eps")]
    pub rms_norm_eps: f64,
    #[serde(default = "initializer_range")]
    pub initializer_range: f64,
    #[serde(default = "max_position_embeddings")]
    pub max_position_embeddings: usize,
    #[serde(default)]
    pub use_sliding_window: bool,
    pub rope_parameters: RopeParameters,
}

/// Multimodal rotary embedding (mRoPE): how the rotary frequencies are shared out between the
/// temporal, height and width positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RopeParameters {
    #[serde(default = "rope_type")]
    pub rope_type: String,
    #[serde(default = "rope_theta")]
    pub rope_theta: f64,
    pub mrope_section: [usize; 3],
}

/// Sizes of the vision tower, as in Hugging Face's `Qwen2_5_VLVisionConfig`; lengths in pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct VisionConfig {
    pub depth: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_heads: usize,
    pub out_hidden_size: usize,
    pub fullatt_block_indexes: Vec<usize>,
    #[serde(default = "silu")]
    pub hidden_act: String,
    #[serde(default = "in_channels", alias = "in_chans")]
    pub in_channels: usize,
    #[serde(default = "patch_size")]
    pub patch_size: usize,
    #[serde(default = "two")]
    pub spatial_merge_size: usize,
    #[serde(default = "two")]
    pub temporal_patch_size: usize,
    #[serde(default = "window_size")]
    pub window_size: usize,
    #[serde(default = "initializer_range")]
    pub initializer_range: f64,
}

fn silu() -> String {
    "silu".into()
}
fn rms_norm_eps() -> f64 {
    1e-6
}
fn initializer_range() -> f64 {
    0.02
}
fn max_position_embeddings() -> usize {
    128_000
}
fn rope_type() -> String {
    "default".into()
}
fn rope_theta() -> f64 {
    1e6
}
fn in_channels() -> usize {
    3
}
fn patch_size() -> usize {
    14
}
fn two() -> usize {
    2
}
fn window_size() -> usize {
    112
}

/// Epsilon of the vision tower's norms, a constant in Hugging Face's code.
pub const VISION_NORM_EPS: f64 = 1e-6;

/// Base of the vision tower's rotary frequencies, a constant in Hugging Face's code.
pub const VISION_ROPE_THETA: f64 = 10_000.0;

impl Qwen2_5_VLConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, describes another model type, lacks a key, or holds sizes that
    /// no model can have.
    pub fn from_json(json: &str) -> Result<Self, ConfigError> {
        let root: Value = serde_json::from_str(json)
            .map_err(|error| ConfigError::Json { message: error.to_string() })?;
        let Value::Object(root) = root else {
            return Err(ConfigError::Json { message: "expected an object".into() });
        };
        match root.get("model_type").and_then(Value::as_str) {
            Some("qwen2_5_vl") => {}
            other => {
                return Err(ConfigError::ModelType { found: other.unwrap_or("none").into() });
            }
        }
        let text = match root.get("text_config") {
            Some(Value::Object(text)) => text.clone(),
            _ => root.clone(),
        };
        let tie_word_embeddings = [&root, &text]
            .iter()
            .find_map(|map| map.get("tie_word_embeddings").and_then(Value::as_bool))
            .unwrap_or(false);
        let config = Self {
            text_config: section("text_config", Value::Object(with_rope_parameters(text)))?,
            vision_config: section(
                "vision_config",
                root.get("vision_config").cloned().unwrap_or(Value::Null),
            )?,
            image_token_id: token_id(&root, "image_token_id", 151_655)?,
            video_token_id: token_id(&root, "video_token_id", 151_656)?,
            vision_start_token_id: token_id(&root, "vision_start_token_id", 151_652)?,
            vision_end_token_id: token_id(&root, "vision_end_token_id", 151_653)?,
            tie_word_embeddings,
        };
        config.validate()?;
        Ok(config)
    }

    /// Writes the nested form of `config.json` that transformers 5 writes.
    pub fn to_json(&self) -> String {
        let mut root = serde_json::to_value(self).expect("a config is plain data");
        root["model_type"] = "qwen2_5_vl".into();
        root["architectures"] = ["Qwen2_5_VLForConditionalGeneration"].as_slice().into();
        root["text_config"]["model_type"] = "qwen2_5_vl_text".into();
        root["vision_config"]["model_type"] = "qwen2_5_vl_vision".into();
        serde_json::to_string_pretty(&root).expect("a JSON value is serializable")
    }

    /// Checks that the sizes fit together.
    ///
    /// # Errors
    ///
    /// Names the first key whose value is impossible or not supported.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.text_config.validate()?;
        self.vision_config.validate()?;
        check(
            "vision_config.out_hidden_size",
            self.vision_config.out_hidden_size,
            self.vision_config.out_hidden_size == self.text_config.hidden_size,
            "must equal text_config.hidden_size",
        )?;
        let vocab_size = self.text_config.vocab_size;
        for (key, id) in [
            ("image_token_id", self.image_token_id),
            ("vision_start_token_id", self.vision_start_token_id),
            ("vision_end_token_id", self.vision_end_token_id),
        ] {
            check(key, id, (id as usize) < vocab_size, "must be below vocab_size")?;
        }
        Ok(())
    }
}

impl TextConfig {
    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    fn validate(&self) -> Result<(), ConfigError> {
        for (key, size) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
        ] {
            check(key, size, (1..=MAX_SIZE).contains(&size), SIZE_RANGE)?;
        }
        let heads = self.num_attention_heads;
        check(
            "hidden_size",
            self.hidden_size,
            self.hidden_size % heads == 0 && self.head_dim() % 2 == 0,
            "must be an even multiple of num_attention_heads",
        )?;
        check(
            "num_key_value_heads",
            self.num_key_value_heads,
            heads % self.num_key_value_heads == 0,
            "must divide num_attention_heads",
        )?;
        check("hidden_act", &self.hidden_act, self.hidden_act == "silu", "must be silu")?;
        check("rms_norm_eps", self.rms_norm_eps, positive(self.rms_norm_eps), "must be positive")?;
        check(
            "use_sliding_window",
            self.use_sliding_window,
            !self.use_sliding_window,
            "is not supported; set it to false",
        )?;
        let rope = &self.rope_parameters;
        check(
            "rope_parameters.rope_type",
            &rope.rope_type,
            rope.rope_type == "default",
            "is not supported; use default (mrope)",
        )?;
        check(
            "rope_parameters.rope_theta",
            rope.rope_theta,
            positive(rope.rope_theta),
            "must be positive",
        )?;
        check(
            "rope_parameters.mrope_section",
            format!("{:?}", rope.mrope_section),
            rope.mrope_section.iter().try_fold(0usize, |sum, &size| sum.checked_add(size))
                == Some(self.head_dim() / 2),
            "must add up to half the head size",
        )
    }
}

impl VisionConfig {
    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_heads
    }

    /// Numbers in one flattened patch: channels · frames · rows · columns.
    pub fn patch_dim(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Patches in one merged visual token.
    pub fn merge_unit(&self) -> usize {
        self.spatial_merge_size * self.spatial_merge_size
    }

    /// Side of an attention window, in merged visual tokens.
    pub fn window_side(&self) -> usize {
        self.window_size / self.patch_size / self.spatial_merge_size
    }

    fn validate(&self) -> Result<(), ConfigError> {
        for (key, size) in [
            ("vision_config.depth", self.depth),
            ("vision_config.hidden_size", self.hidden_size),
            ("vision_config.intermediate_size", self.intermediate_size),
            ("vision_config.num_heads", self.num_heads),
            ("vision_config.out_hidden_size", self.out_hidden_size),
        ] {
            check(key, size, (1..=MAX_SIZE).contains(&size), SIZE_RANGE)?;
        }
        for (key, size) in [
            ("vision_config.in_channels", self.in_channels),
            ("vision_config.patch_size", self.patch_size),
            ("vision_config.spatial_merge_size", self.spatial_merge_size),
            ("vision_config.temporal_patch_size", self.temporal_patch_size),
        ] {
            check(key, size, (1..=64).contains(&size), "must be between 1 and 64")?;
        }
        check(
            "vision_config.hidden_size",
            self.hidden_size,
            self.hidden_size % self.num_heads == 0 && self.head_dim() % 4 == 0,
            "must be a multiple of 4 × num_heads",
        )?;
        check(
            "vision_config.window_size",
            self.window_size,
            self.window_side() >= 1 && self.window_size <= MAX_SIZE,
            "must hold at least one merged patch",
        )?;
        let act = &self.hidden_act;
        check("vision_config.hidden_act", act, act == "silu", "must be silu")?;
        match self.fullatt_block_indexes.iter().find(|&&index| index >= self.depth) {
            Some(index) => check(
                "vision_config.fullatt_block_indexes",
                index,
                false,
                "must be below vision_config.depth",
            ),
            None => Ok(()),
        }
    }
}

/// Largest value of any one size: far above any model, low enough that products stay in range.
const MAX_SIZE: usize = 1 << 20;
const SIZE_RANGE: &str = "must be between 1 and 1048576";

fn positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

fn check(
    key: &str,
    value: impl ToString,
    holds: bool,
    rule: &'static str,
) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError::Value { key: key.into(), value: value.to_string(), rule })
}

fn section<T: for<'de> Deserialize<'de>>(
    section: &'static str,
    value: Value,
) -> Result<T, ConfigError> {
    T::deserialize(value)
        .map_err(|error| ConfigError::Section { section, message: error.to_string() })
}

fn token_id(root: &Map<String, Value>, key: &str, default: u32) -> Result<u32, ConfigError> {
    match root.get(key) {
        None => Ok(default),
        Some(value) => {
            value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| ConfigError::Value {
                key: key.into(),
                value: value.to_string(),
                rule: "must be a token id",
            })
        }
    }
}

/// Brings the older `rope_theta` + `rope_scaling` into `rope_parameters`.
fn with_rope_parameters(mut text: Map<String, Value>) -> Map<String, Value> {
    let mut rope = match text.remove("rope_parameters").or_else(|| text.remove("rope_scaling")) {
        Some(Value::Object(rope)) => rope,
        _ => return text,
    };
    if let (None, Some(theta)) = (rope.get("rope_theta"), text.get("rope_theta")) {
        rope.insert("rope_theta".into(), theta.clone());
    }
    let kind = rope.get("rope_type").or_else(|| rope.get("type")).and_then(Value::as_str);
    let kind = match kind {
        None | Some("mrope") => "default".to_string(),
        Some(kind) => kind.to_string(),
    };
    rope.insert("rope_type".into(), kind.into());
    text.insert("rope_parameters".into(), Value::Object(rope));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NESTED: &str = include_str!("../../../tests/reference/model/config.json");

    /// The same model in the hub's older form.
    fn flat() -> Value {
        let nested: Value = serde_json::from_str(NESTED).unwrap();
        let mut flat = nested["text_config"].clone();
        let rope = flat.as_object_mut().unwrap().remove("rope_parameters").unwrap();
        flat["rope_theta"] = rope["rope_theta"].clone();
        flat["rope_scaling"] =
            serde_json::json!({"type": "mrope", "mrope_section": rope["mrope_section"]});
        for (key, value) in nested.as_object().unwrap() {
            if key != "text_config" {
                flat[key] = value.clone();
            }
        }
        flat
    }

    #[test]
    fn the_older_flat_form_reads_like_the_nested_one() {
        let nested = Qwen2_5_VLConfig::from_json(NESTED).unwrap();
        assert_eq!(Qwen2_5_VLConfig::from_json(&flat().to_string()).unwrap(), nested);
        assert_eq!(nested.text_config.rope_parameters.mrope_section, [2, 3, 3]);
        assert!(nested.tie_word_embeddings);
    }

    #[test]
    fn a_written_config_reads_back_the_same() {
        let config = Qwen2_5_VLConfig::from_json(NESTED).unwrap();
        assert_eq!(Qwen2_5_VLConfig::from_json(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn impossible_configs_are_refused_by_name() {
        let cases = [
            ("/model_type", Value::from("qwen2_vl"), "qwen2_vl"),
            ("/text_config/hidden_size", 63.into(), "hidden_size"),
            ("/text_config/hidden_size", 0.into(), "hidden_size"),
            ("/text_config/num_key_value_heads", 3.into(), "num_key_value_heads"),
            ("/text_config/vocab_size", 12.into(), "image_token_id"),
            ("/text_config/vocab_size", "many".into(), "text_config"),
            ("/text_config/num_attention_heads", 0.into(), "num_attention_heads"),
            ("/text_config/rope_parameters/mrope_section", vec![2, 2, 3].into(), "mrope_section"),
            ("/text_config/rope_parameters/rope_type", "yarn".into(), "rope_type"),
            ("/text_config/use_sliding_window", true.into(), "use_sliding_window"),
            ("/vision_config/out_hidden_size", 32.into(), "out_hidden_size"),
            ("/vision_config/window_size", 14.into(), "window_size"),
            ("/vision_config/num_heads", 32.into(), "vision_config.hidden_size"),
            ("/vision_config/fullatt_block_indexes", vec![9].into(), "fullatt_block_indexes"),
            ("/vision_config", Value::Null, "vision_config"),
        ];
        for (pointer, value, expected) in cases {
            let mut config: Value = serde_json::from_str(NESTED).unwrap();
            *config.pointer_mut(pointer).unwrap() = value;
            let error = Qwen2_5_VLConfig::from_json(&config.to_string()).unwrap_err().to_string();
            assert!(error.contains(expected), "{pointer}: {error}");
        }
        for text in ["", "[]", "null", "{", "{}"] {
            assert!(Qwen2_5_VLConfig::from_json(text).is_err(), "{text:?}");
        }
    }
}
