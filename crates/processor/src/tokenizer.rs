//! Text to token ids and back.

use std::collections::BTreeMap;

use tokenizers::Tokenizer as HfTokenizer;

use crate::error::ProcessorError;

/// A `tokenizer.json`, with special tokens never read out of ordinary text.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: HfTokenizer,
    /// By content.
    special: BTreeMap<String, u32>,
}

/// Bytes encoded at a time, so that the regular expressions stay fast on huge texts.
const MAX_PIECE: usize = 1 << 20;

impl Tokenizer {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// When the bytes are not a tokenizer.
    pub fn from_bytes(json: &[u8]) -> Result<Self, ProcessorError> {
        let mut inner = HfTokenizer::from_bytes(json).map_err(|error| ProcessorError::File {
            file: "tokenizer.json",
            message: error.to_string(),
        })?;
        inner.set_encode_special_tokens(true);
        let special = inner
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special && !token.content.is_empty())
            .map(|(id, token)| (token.content, id))
            .collect();
        Ok(Self { inner, special })
    }

    /// Ids of ordinary text; what looks like a special token is text as well.
    ///
    /// # Errors
    ///
    /// When the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ProcessorError> {
        let mut ids = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let cut = match rest.len() {
                length if length <= MAX_PIECE => length,
                _ => rest.floor_char_boundary(MAX_PIECE),
            };
            let (piece, after) = rest.split_at(cut);
            let encoding = self
                .inner
                .encode(piece, false)
                .map_err(|error| ProcessorError::Tokenize { message: error.to_string() })?;
            ids.extend_from_slice(encoding.get_ids());
            rest = after;
        }
        Ok(ids)
    }

    /// Text of token ids; bytes that are not UTF-8 show as U+FFFD.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> String {
        self.inner.decode(ids, skip_special_tokens).unwrap_or_default()
    }

    /// Special tokens by content.
    pub fn special_tokens(&self) -> &BTreeMap<String, u32> {
        &self.special
    }

    /// Whether the id has a token.
    pub fn has_token(&self, id: u32) -> bool {
        self.inner.id_to_token(id).is_some()
    }

    /// The id of a token given by its exact content.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Starts to decode ids that come one by one.
    pub fn decode_stream(&self, skip_special_tokens: bool) -> DecodeStream<'_> {
        DecodeStream { tokenizer: self, skip_special_tokens, pending: Vec::new() }
    }
}

/// Decodes ids one by one into pieces of valid UTF-8 whose concatenation is the whole text.
#[derive(Clone, Debug)]
pub struct DecodeStream<'a> {
    tokenizer: &'a Tokenizer,
    skip_special_tokens: bool,
    /// The beginning of a character.
    pending: Vec<u8>,
}

impl DecodeStream<'_> {
    /// Takes the next id; returns the text that is certain by now, possibly empty.
    pub fn push(&mut self, id: u32) -> String {
        let Some(token) = self.tokenizer.inner.id_to_token(id) else { return String::new() };
        if !(self.skip_special_tokens && self.tokenizer.special.contains_key(&token)) {
            self.pending.extend(token_bytes(&token));
        }
        let mut text = String::new();
        let mut rest = self.pending.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(whole) => {
                    text.push_str(whole);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                    rest = after;
                    // Without a length the bytes may still become a character.
                    let Some(length) = error.error_len() else { break };
                    text.push('\u{fffd}');
                    rest = &rest[length..];
                }
            }
        }
        self.pending = rest.to_vec();
        text
    }

    /// The text still held back, at the end.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// Bytes of a token: byte-level BPE writes each byte as a printable character (GPT-2's table);
/// tokens with other characters, such as added ones, stand for themselves.
fn token_bytes(token: &str) -> Vec<u8> {
    let byte = |character: char| match u32::from(character) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => Some(code as u8),
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    };
    token.chars().map(byte).collect::<Option<Vec<u8>>>().unwrap_or_else(|| token.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokenizer() -> Tokenizer {
        let json = include_bytes!("../../../tests/reference/model/tokenizer.json");
        Tokenizer::from_bytes(json).unwrap()
    }

    #[test]
    fn special_tokens_in_text_are_text() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("a <|image_pad|> b").unwrap();
        assert!(!ids.contains(&492), "{ids:?}");
        assert_eq!(tokenizer.decode(&ids, false), "a <|image_pad|> b");
        assert_eq!(tokenizer.special_tokens()["<|image_pad|>"], 492);
        assert!(tokenizer.has_token(493) && !tokenizer.has_token(494));
    }

    #[test]
    fn what_is_no_tokenizer_is_refused() {
        for bytes in [b"".as_slice(), b"{}", b"\xff\xff"] {
            assert!(Tokenizer::from_bytes(bytes).is_err());
        }
    }

    #[test]
    fn a_character_split_over_tokens_comes_whole() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("é左🙂").unwrap();
        let mut stream = tokenizer.decode_stream(false);
        let pieces: Vec<String> = ids.iter().map(|&id| stream.push(id)).collect();
        assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')), "{pieces:?}");
        assert_eq!(pieces.concat() + &stream.finish(), "é左🙂");
    }

    proptest! {
        #[test]
        fn streamed_text_is_the_encoded_text(text in "\\PC{0,40}") {
            let tokenizer = tokenizer();
            let ids = tokenizer.encode(&text).unwrap();
            let mut stream = tokenizer.decode_stream(false);
            let mut streamed: String = ids.iter().map(|&id| stream.push(id)).collect();
            streamed += &stream.finish();
            prop_assert_eq!(&streamed, &tokenizer.decode(&ids, false));
        }
    }
}
