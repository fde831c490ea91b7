//! The models that are timed.

use clap::ValueEnum;
use qwen2_5_vl::{Qwen2_5_VLConfig, RopeParameters, TextConfig, VisionConfig};

/// Sizes of random models.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Size {
    Nano,
    Mid,
    #[value(name = "shape-3b")]
    Shape3b,
}

impl Size {
    /// A configuration of that size.
    pub fn config(self) -> Qwen2_5_VLConfig {
        let (hidden, inner, layers, heads, kv_heads, vocab) = match self {
            Self::Nano => (192, 512, 4, 6, 2, 2048),
            Self::Mid => (512, 2048, 12, 8, 2, 8192),
            Self::Shape3b => (2048, 11_008, 4, 16, 2, 151_936),
        };
        let (width, vision_inner, depth, vision_heads) = match self {
            Self::Nano => (128, 256, 4, 4),
            Self::Mid => (384, 1024, 8, 6),
            Self::Shape3b => (1280, 3420, 4, 16),
        };
        let half = hidden / heads / 2;
        let section = [half / 4, (half - half / 4) / 2, half - half / 4 - (half - half / 4) / 2];
        Qwen2_5_VLConfig {
            text_config: TextConfig {
                vocab_size: vocab,
                hidden_size: hidden,
                intermediate_size: inner,
                num_hidden_layers: layers,
                num_attention_heads: heads,
                num_key_value_heads: kv_heads,
                hidden_act: "silu".into(),
                rms_norm_eps: 1e-6,
                initializer_range: 0.02,
                max_position_embeddings: 4096,
                use_sliding_window: false,
                rope_parameters: RopeParameters {
                    rope_type: "default".into(),
                    rope_theta: 1e6,
                    mrope_section: section,
                },
            },
            vision_config: VisionConfig {
                depth,
                hidden_size: width,
                intermediate_size: vision_inner,
                num_heads: vision_heads,
                out_hidden_size: hidden,
                fullatt_block_indexes: vec![depth - 1],
                hidden_act: "silu".into(),
                in_channels: 3,
                patch_size: 14,
                spatial_merge_size: 2,
                temporal_patch_size: 2,
                window_size: 112,
                initializer_range: 0.02,
            },
            image_token_id: vocab as u32 - 1,
            video_token_id: vocab as u32 - 2,
            vision_start_token_id: vocab as u32 - 3,
            vision_end_token_id: vocab as u32 - 4,
            tie_word_embeddings: true,
        }
    }
}
