//! A small tokenizer in Qwen2.5's form, for models trained from nothing.

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, TokenizerBuilder};

/// Qwen2.5's rule for where a token may end.
const PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Qwen2.5-VL's special tokens, in the order of their ids.
const SPECIAL: [&str; 14] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

/// Trains byte-level BPE on texts; the result is the content of a `tokenizer.json`.
///
/// All 256 bytes come first, then at most `max_tokens` merges, then the special tokens, as in
/// Qwen2.5's own tokenizer. The same texts give the same tokenizer.
///
/// # Errors
///
/// When the library refuses the texts.
pub fn train_tokenizer(
    texts: impl Iterator<Item = String> + Send,
    max_tokens: usize,
) -> Result<String, tokenizers::Error> {
    let split =
        Split::new(SplitPattern::Regex(PATTERN.into()), SplitDelimiterBehavior::Isolated, false)?;
    let byte_level = ByteLevel::new(false, false, false);
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(Some(NFC))
        .with_pre_tokenizer(Some(Sequence::new(vec![split.into(), byte_level.into()])))
        .with_post_processor(Some(byte_level))
        .with_decoder(Some(byte_level))
        .build()?;
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(256 + max_tokens)
        .min_frequency(2)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer.train(&mut trainer, texts)?;
    tokenizer.add_special_tokens(&SPECIAL.map(|token| AddedToken::from(token, true)));
    tokenizer.to_string(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_become_one_token_and_special_tokens_come_last() {
        let texts = || (0..50).map(|n| format!("top left red circle; bottom right {n}"));
        let json = train_tokenizer(texts(), 200).unwrap();
        assert_eq!(json, train_tokenizer(texts(), 200).unwrap());
        let tokenizer = processor::Tokenizer::from_bytes(json.as_bytes()).unwrap();
        assert_eq!(tokenizer.encode(" circle").unwrap().len(), 1);
        let text = "tøp left\n";
        assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap(), false), text);
        let ids: Vec<u32> =
            SPECIAL.iter().map(|token| tokenizer.token_to_id(token).unwrap()).collect();
        assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1) && ids[0] >= 256);
    }
}
