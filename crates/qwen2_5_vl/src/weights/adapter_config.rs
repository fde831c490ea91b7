//! What an adapter is, in the words of Hugging Face's PEFT.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The file that makes a folder an adapter's.
pub(super) const CONFIG: &str = "adapter_config.json";

/// `adapter_config.json`; keys are those of PEFT's `LoraConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct AdapterConfig {
    pub base_model_name_or_path: Option<String>,
    pub bias: String,
    pub exclude_modules: Option<Names>,
    pub fan_in_fan_out: bool,
    pub inference_mode: bool,
    pub lora_alpha: f64,
    pub lora_dropout: f64,
    pub peft_type: String,
    pub r: usize,
    pub target_modules: Option<Names>,
    pub task_type: Option<String>,
    pub use_dora: bool,
    pub use_rslora: bool,
    #[serde(skip_serializing)]
    pub alpha_pattern: BTreeMap<String, f64>,
    #[serde(skip_serializing)]
    pub rank_pattern: BTreeMap<String, usize>,
    #[serde(skip_serializing)]
    pub modules_to_save: Option<Vec<String>>,
}

/// Ends of modules' names, or a pattern for whole names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Names {
    Ends(Vec<String>),
    Pattern(String),
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self {
            base_model_name_or_path: None,
            bias: "none".into(),
            exclude_modules: None,
            fan_in_fan_out: false,
            inference_mode: true,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            peft_type: "LORA".into(),
            r: 8,
            target_modules: None,
            task_type: Some("CAUSAL_LM".into()),
            use_dora: false,
            use_rslora: false,
            alpha_pattern: BTreeMap::new(),
            rank_pattern: BTreeMap::new(),
            modules_to_save: None,
        }
    }
}

impl AdapterConfig {
    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// When it is not JSON of this form, or asks for what is not supported.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let config: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let refused = [
            (config.peft_type != "LORA", "peft_type is not LORA"),
            (config.r == 0, "r is 0"),
            (!config.lora_alpha.is_finite(), "lora_alpha is not a finite number"),
            (config.use_dora, "use_dora is not supported"),
            (config.fan_in_fan_out, "fan_in_fan_out is not supported"),
            (config.bias != "none", "bias is not none, and adapters of biases are not supported"),
            (!config.rank_pattern.is_empty(), "rank_pattern is not supported"),
            (!config.alpha_pattern.is_empty(), "alpha_pattern is not supported"),
            (config.modules_to_save.is_some(), "modules_to_save is not supported"),
        ];
        match refused.iter().find(|(refused, _)| *refused) {
            Some((_, message)) => Err(message.to_string()),
            None => Ok(config),
        }
    }

    /// Writes the file's text.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_value(self).expect("plain data");
        // PEFT's own are whole numbers.
        if self.lora_alpha.fract() == 0.0 && self.lora_alpha.abs() < 1e15 {
            json["lora_alpha"] = (self.lora_alpha as i64).into();
        }
        format!("{json:#}\n")
    }

    /// The factor of each adapter: `lora_alpha / r`, or `lora_alpha / √r` (rank-stabilized).
    pub fn scale(&self) -> f64 {
        let r = self.r as f64;
        self.lora_alpha / if self.use_rslora { r.sqrt() } else { r }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (json, expected) in [
            ("{", "EOF"),
            (r#"{"peft_type": "LOHA"}"#, "peft_type is not LORA"),
            (r#"{"r": 0}"#, "r is 0"),
            (r#"{"use_dora": true}"#, "use_dora"),
            (r#"{"rank_pattern": {"q_proj": 4}}"#, "rank_pattern"),
            (r#"{"bias": "all"}"#, "bias"),
        ] {
            let error = AdapterConfig::from_json(json.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }

    #[test]
    fn a_written_configuration_reads_back_the_same() {
        for lora_alpha in [16.0, 0.5] {
            let target_modules = Some(Names::Ends(vec!["q_proj".into()]));
            let config = AdapterConfig {
                lora_alpha,
                r: 4,
                use_rslora: true,
                target_modules,
                ..Default::default()
            };
            let read = AdapterConfig::from_json(config.to_json().as_bytes()).unwrap();
            assert_eq!((read.scale(), read), (lora_alpha / 2.0, config));
        }
    }
}
