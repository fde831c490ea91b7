//! The model, the gym recipe and the configuration that `cppo` brings along.

/// What an adapter's `base_model_name_or_path` calls the demo model.
pub const NAME: &str = "cppo-demo";

/// Files of the demo model in Hugging Face layout.
pub const MODEL: &[(&str, &[u8])] = &[
    ("config.json", include_bytes!("../demo/model/config.json")),
    ("generation_config.json", include_bytes!("../demo/model/generation_config.json")),
    ("tokenizer.json", include_bytes!("../demo/model/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../demo/model/tokenizer_config.json")),
    ("preprocessor_config.json", include_bytes!("../demo/model/preprocessor_config.json")),
    ("chat_template.jinja", include_bytes!("../demo/model/chat_template.jinja")),
    ("model.safetensors", include_bytes!("../demo/model/model.safetensors")),
];

/// What `cppo train` runs without arguments.
pub const TRAIN: &str = include_str!("../demo/train.yaml");
