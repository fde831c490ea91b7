//! Images, template and tokenizer together (Hugging Face's `Qwen2_5_VLProcessor`).

use image::RgbImage;

use crate::chat::{ChatTemplate, Message, QWEN2_5_VL_TEMPLATE};
use crate::error::ProcessorError;
use crate::preprocess::{ImageProcessor, PixelPatches};
use crate::prompt;
use crate::tokenizer::Tokenizer;

/// Contents of the files of a model folder that describe its processor.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct PretrainedFiles {
    pub tokenizer_json: Vec<u8>,
    pub tokenizer_config_json: Option<String>,
    pub preprocessor_config_json: Option<String>,
    pub chat_template_jinja: Option<String>,
    pub chat_template_json: Option<String>,
}

/// Makes model inputs of messages and pictures.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Processor {
    pub image_processor: ImageProcessor,
    pub tokenizer: Tokenizer,
    pub chat_template: ChatTemplate,
    image_token: u32,
}

/// What the model takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelInput {
    /// Token ids, image placeholders expanded.
    pub input_ids: Vec<u32>,
    /// Patches of all images, `[patches, channels · frames · rows · columns]`.
    pub pixel_values: Vec<f32>,
    /// Frames, rows and columns of patches of each image.
    pub image_grid_thw: Vec<[usize; 3]>,
}

/// Tokens that stand for pictures; a response never contains them.
const VISION_TOKENS: [&str; 5] =
    ["<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"];

impl Processor {
    /// Builds a processor from the contents of its files.
    ///
    /// The chat template is `chat_template.jinja`, else `chat_template.json`, else the one in
    /// `tokenizer_config.json`, else the built-in one.
    ///
    /// # Errors
    ///
    /// Names the file that is not what it should be.
    pub fn new(files: &PretrainedFiles) -> Result<Self, ProcessorError> {
        let tokenizer = Tokenizer::from_bytes(&files.tokenizer_json)?;
        let image_processor = match &files.preprocessor_config_json {
            Some(json) => ImageProcessor::from_json(json)?,
            None => ImageProcessor::default(),
        };
        let template = match &files.chat_template_jinja {
            Some(source) => Some(source.clone()),
            None => match template_in("chat_template.json", &files.chat_template_json)? {
                Some(source) => Some(source),
                None => template_in("tokenizer_config.json", &files.tokenizer_config_json)?,
            },
        };
        let image_token = tokenizer
            .token_to_id("<|image_pad|>")
            .ok_or(ProcessorError::MissingToken { token: "<|image_pad|>" })?;
        Ok(Self {
            chat_template: ChatTemplate::new(template.as_deref().unwrap_or(QWEN2_5_VL_TEMPLATE))?,
            image_processor,
            tokenizer,
            image_token,
        })
    }

    /// Encodes a conversation and its pictures.
    ///
    /// # Errors
    ///
    /// When messages and pictures disagree, or one of them cannot be processed.
    pub fn encode(
        &self,
        messages: &[Message],
        images: &[RgbImage],
    ) -> Result<ModelInput, ProcessorError> {
        let patches = images
            .iter()
            .map(|image| self.image_processor.preprocess(image))
            .collect::<Result<Vec<_>, _>>()?;
        self.encode_patches(messages, &patches)
    }

    /// Encodes a conversation whose pictures are already patches.
    ///
    /// # Errors
    ///
    /// When messages and pictures disagree.
    pub fn encode_patches(
        &self,
        messages: &[Message],
        images: &[PixelPatches],
    ) -> Result<ModelInput, ProcessorError> {
        let unit = (self.image_processor.merge_size * self.image_processor.merge_size) as usize;
        let counts: Vec<usize> =
            images.iter().map(|image| image.grid_thw.iter().product::<usize>() / unit).collect();
        let (tokenizer, template) = (&self.tokenizer, &self.chat_template);
        Ok(ModelInput {
            input_ids: prompt::encode(tokenizer, template, messages, self.image_token, &counts)?,
            pixel_values: images.iter().flat_map(|image| image.values.iter().copied()).collect(),
            image_grid_thw: images.iter().map(|image| image.grid_thw).collect(),
        })
    }

    /// Ids that a response must not contain: vision tokens, and ids without a token.
    pub fn never_sampled(&self, vocab_size: usize) -> Vec<u32> {
        let vision: Vec<u32> =
            VISION_TOKENS.iter().filter_map(|token| self.tokenizer.token_to_id(token)).collect();
        (0..vocab_size as u32)
            .filter(|id| vision.contains(id) || !self.tokenizer.has_token(*id))
            .collect()
    }
}

/// The `chat_template` of a JSON file: a string, or a list of named ones.
fn template_in(
    file: &'static str,
    json: &Option<String>,
) -> Result<Option<String>, ProcessorError> {
    let Some(json) = json else { return Ok(None) };
    let value: serde_json::Value = serde_json::from_str(json)
        .map_err(|error| ProcessorError::File { file, message: error.to_string() })?;
    Ok(match &value["chat_template"] {
        serde_json::Value::String(source) => Some(source.clone()),
        serde_json::Value::Array(named) => named
            .iter()
            .find(|entry| entry["name"] == "default")
            .and_then(|entry| entry["template"].as_str().map(str::to_string)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference");

    fn read(name: &str) -> String {
        std::fs::read_to_string(format!("{FOLDER}/{name}")).unwrap()
    }

    fn files() -> PretrainedFiles {
        PretrainedFiles {
            tokenizer_json: read("model/tokenizer.json").into_bytes(),
            tokenizer_config_json: Some(read("model/tokenizer_config.json")),
            preprocessor_config_json: Some(read("model/preprocessor_config.json")),
            chat_template_jinja: Some(read("model/chat_template.jinja")),
            chat_template_json: None,
        }
    }

    #[test]
    fn ids_grids_and_pixels_equal_hugging_face() {
        let processor = Processor::new(&files()).unwrap();
        let reference: serde_json::Value = serde_json::from_str(&read("reference.json")).unwrap();
        assert_eq!(reference["instruction"], prompt::INSTRUCTION);
        let arrays = std::fs::read(format!("{FOLDER}/reference.safetensors")).unwrap();
        let arrays = safetensors::SafeTensors::deserialize(&arrays).unwrap();
        for (index, case) in reference["cases"].as_array().unwrap().iter().enumerate() {
            let picture = std::fs::read(format!("{FOLDER}/{}", case["image"].as_str().unwrap()));
            let picture = crate::decode(&picture.unwrap()).unwrap();
            let question =
                format!("{} {}", case["question"].as_str().unwrap(), prompt::INSTRUCTION);
            let messages = [Message::user(1, question)];
            let input = processor.encode(&messages, &[picture]).unwrap();
            assert_eq!(processor.chat_template.render(&messages).unwrap(), case["text"]);
            assert_eq!(serde_json::json!(input.input_ids), case["input_ids"], "case {index}");
            assert_eq!(serde_json::json!(input.image_grid_thw[0]), case["grid_thw"]);
            let expected = arrays.tensor(&format!("case{index}.pixel_values")).unwrap();
            let expected =
                expected.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            let mut worst = 0f32;
            for (place, (found, expected)) in input.pixel_values.iter().zip(expected).enumerate() {
                let channel = place % 1176 / 392;
                let std = processor.image_processor.image_std[channel];
                worst = worst.max((found - expected).abs() * std * 255.0);
            }
            assert!(worst <= 2.0, "case {index}: {worst} of 255 levels");
        }
        assert_eq!(serde_json::json!(processor.never_sampled(496)), reference["never_sampled"]);
    }

    #[test]
    fn the_template_is_found_in_every_place_it_may_be() {
        let template = "<|im_start|>{{ messages[0]['content'][0]['text'] }}";
        let json = serde_json::json!({ "chat_template": template }).to_string();
        let named = serde_json::json!({"chat_template": [
            {"name": "tools", "template": "no"}, {"name": "default", "template": template},
        ]});
        let bare = PretrainedFiles { chat_template_jinja: None, ..files() };
        let cases = [
            PretrainedFiles { chat_template_jinja: Some(template.into()), ..bare.clone() },
            PretrainedFiles { chat_template_json: Some(json.clone()), ..bare.clone() },
            PretrainedFiles { tokenizer_config_json: Some(json), ..bare.clone() },
            PretrainedFiles { tokenizer_config_json: Some(named.to_string()), ..bare.clone() },
        ];
        for files in cases {
            let processor = Processor::new(&files).unwrap();
            let text = processor.chat_template.render(&[Message::user(0, "hi")]).unwrap();
            assert_eq!(text, "<|im_start|>hi");
        }
        let built_in = Processor::new(&bare).unwrap();
        let text = built_in.chat_template.render(&[Message::user(0, "hi")]).unwrap();
        assert!(text.starts_with("<|im_start|>system\n"));
    }
}
