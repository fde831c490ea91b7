//! Messages, and the template that makes one text of them.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::{Deserialize, Serialize};

use crate::error::ProcessorError;

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Text and pictures, in order.
    #[serde(deserialize_with = "text_or_parts")]
    pub content: Vec<Content>,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Content {
    Text { text: String },
    Image,
    Video,
}

impl Message {
    /// A user's turn: pictures first, then the question.
    pub fn user(images: usize, question: impl Into<String>) -> Self {
        let mut content = vec![Content::Image; images];
        content.push(Content::Text { text: question.into() });
        Self { role: "user".into(), content }
    }
}

fn text_or_parts<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Content>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Parts(Vec<Content>),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::Text(text) => vec![Content::Text { text }],
        Form::Parts(parts) => parts,
    })
}

/// Qwen2.5-VL's template for models that bring none.
pub const QWEN2_5_VL_TEMPLATE: &str = "\
{%- for message in messages %}\
{%- if loop.first and message['role'] != 'system' %}\
{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}\
{{- '<|im_start|>' + message['role'] + '\\n' }}\
{%- for content in message['content'] %}\
{%- if content['type'] == 'image' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}\
{%- else %}{{- content['text'] }}{% endif %}\
{%- endfor %}{{- '<|im_end|>\\n' }}\
{%- endfor %}\
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}";

/// A compiled chat template in Jinja.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
}

const NAME: &str = "chat_template";

/// Template steps per message part and in all; far more than any real template takes.
const FUEL: u64 = 10_000;
/// Template steps per byte of text.
const FUEL_PER_BYTE: u64 = 4;

impl ChatTemplate {
    /// Compiles a template, with the extensions that Hugging Face's templates use.
    ///
    /// # Errors
    ///
    /// When the source is not valid Jinja.
    pub fn new(source: &str) -> Result<Self, ProcessorError> {
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true);
        environment.set_syntax(syntax.build().map_err(template_error)?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, source.to_string()).map_err(template_error)?;
        Ok(Self { environment })
    }

    /// Renders messages, ready for the assistant's turn.
    ///
    /// # Errors
    ///
    /// When the template fails, or does not come to an end.
    pub fn render(&self, messages: &[Message]) -> Result<String, ProcessorError> {
        let parts: usize = messages.iter().map(|message| 1 + message.content.len()).sum();
        let content = messages.iter().flat_map(|message| &message.content);
        // Comparing and copying text counts as steps, too.
        let bytes: usize = content
            .map(|content| match content {
                Content::Text { text } => text.len(),
                Content::Image | Content::Video => 0,
            })
            .sum();
        let fuel =
            FUEL.saturating_mul(1 + parts as u64).saturating_add(FUEL_PER_BYTE * bytes as u64);
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        let template = environment.get_template(NAME).map_err(template_error)?;
        template
            .render(context! { messages => Serde(messages), add_generation_prompt => true })
            .map_err(template_error)
    }
}

fn template_error(error: Error) -> ProcessorError {
    ProcessorError::Template { message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_template_writes_what_the_checkpoints_own_does() {
        let own = include_str!("../../../tests/reference/model/chat_template.jinja");
        let system = Message {
            role: "system".into(),
            content: vec![Content::Text { text: "Be brief.\n".into() }],
        };
        let cases = [
            vec![Message::user(1, "How many?")],
            vec![system, Message::user(2, " a\n\nb ")],
            vec![Message::user(0, "")],
        ];
        for messages in cases {
            let built_in = ChatTemplate::new(QWEN2_5_VL_TEMPLATE).unwrap().render(&messages);
            let own = ChatTemplate::new(own).unwrap().render(&messages);
            assert_eq!(built_in.unwrap(), own.unwrap());
        }
    }

    #[test]
    fn templates_that_fail_or_never_end_are_errors() {
        assert!(ChatTemplate::new("{% for %}").is_err());
        let messages = [Message::user(0, "x")];
        for source in [
            "{{ raise_exception('no') }}",
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            "{{ messages.nothing.there }}",
        ] {
            let error = ChatTemplate::new(source).unwrap().render(&messages).unwrap_err();
            assert!(error.to_string().contains("template"), "{error}");
        }
    }

    #[test]
    fn content_is_a_string_or_a_list() {
        let string: Message = serde_json::from_str(r#"{"role":"user","content":"hi"}"#).unwrap();
        assert_eq!(string, Message::user(0, "hi"));
        let list = r#"{"role":"user","content":[{"type":"image"},{"type":"text","text":"hi"}]}"#;
        assert_eq!(serde_json::from_str::<Message>(list).unwrap(), Message::user(1, "hi"));
    }
}
