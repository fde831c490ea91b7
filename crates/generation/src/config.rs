//! Hugging Face's `generation_config.json`.

use serde::Deserialize;

use crate::sampling::SamplingParams;

/// Defaults for sampling and the tokens that end a response.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct GenerationConfig {
    pub do_sample: bool,
    pub temperature: Option<f64>,
    pub top_k: Option<usize>,
    pub top_p: Option<f64>,
    pub min_p: Option<f64>,
    pub repetition_penalty: Option<f64>,
    #[serde(deserialize_with = "one_or_many")]
    pub eos_token_id: Vec<u32>,
}

impl GenerationConfig {
    /// Reads `generation_config.json`; keys it does not know are left alone.
    ///
    /// # Errors
    ///
    /// When the text is not JSON or a known key has the wrong type.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// The sampling it asks for; greedy unless `do_sample`.
    pub fn sampling(&self) -> SamplingParams {
        let default = SamplingParams::default();
        SamplingParams {
            temperature: if self.do_sample { self.temperature.unwrap_or(1.0) } else { 0.0 },
            top_k: self.top_k.filter(|&k| k > 0),
            top_p: self.top_p.unwrap_or(default.top_p),
            min_p: self.min_p.unwrap_or(default.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(default.repetition_penalty),
            ..default
        }
    }
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Ids {
        None,
        One(u32),
        Many(Vec<u32>),
    }
    Ok(match Ids::deserialize(deserializer)? {
        Ids::None => Vec::new(),
        Ids::One(id) => vec![id],
        Ids::Many(ids) => ids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_eos_id_or_several_are_read() {
        let cases = [
            (r#"{}"#, vec![]),
            (r#"{"eos_token_id": null}"#, vec![]),
            (r#"{"eos_token_id": 7, "unknown": []}"#, vec![7]),
            (r#"{"eos_token_id": [7, 8]}"#, vec![7, 8]),
        ];
        for (json, expected) in cases {
            assert_eq!(GenerationConfig::from_json(json).unwrap().eos_token_id, expected, "{json}");
        }
        assert!(GenerationConfig::from_json(r#"{"eos_token_id": -1}"#).is_err());
    }

    #[test]
    fn sampling_is_greedy_unless_asked_for() {
        let greedy = GenerationConfig::from_json(r#"{"temperature": 0.5}"#).unwrap();
        assert_eq!(greedy.sampling().temperature, 0.0);
        let sampled = GenerationConfig::from_json(r#"{"do_sample": true, "top_k": 0}"#).unwrap();
        assert_eq!((sampled.sampling().temperature, sampled.sampling().top_k), (1.0, None));
    }
}
