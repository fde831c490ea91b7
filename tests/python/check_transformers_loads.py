"""Loads a model folder in Hugging Face transformers and lets it answer a question about a picture.

    python tests/python/check_transformers_loads.py FOLDER [--image FILE] [--question TEXT] [--tokens N]

Exit code 1 on any missing, unexpected or mismatched weight. Prints one JSON line with the greedy
token ids and, where the folder has a tokenizer, their text.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, Qwen2_5_VLForConditionalGeneration

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("--image", type=Path, default=Path(__file__).resolve().parent.parent / "reference/image0.png")
parser.add_argument("--question", default="How many red circles are in the picture?")
parser.add_argument("--tokens", type=int, default=16)
parser.add_argument("--never", help="token ids that are never sampled, as in 489,490")
options = parser.parse_args()

model, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(
    options.folder, dtype=torch.float32, output_loading_info=True
)
wrong = {kind: sorted(map(str, report[kind])) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")}
if any(wrong.values()):
    sys.exit(f"{options.folder}: {json.dumps({kind: keys for kind, keys in wrong.items() if keys})}")
for key, value in model.state_dict().items():
    if not torch.isfinite(value).all():
        sys.exit(f"{options.folder}: {key} is not finite")
model.eval()

tokenizer = AutoTokenizer.from_pretrained(options.folder)
text = tokenizer.apply_chat_template(
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": options.question}]}],
    tokenize=False,
    add_generation_prompt=True,
)
picture = AutoImageProcessor.from_pretrained(options.folder)(
    Image.open(options.image).convert("RGB"), return_tensors="pt"
)
pads = picture["image_grid_thw"][0].prod().item() // model.config.vision_config.spatial_merge_size**2
ids = tokenizer(text.replace("<|image_pad|>", "<|image_pad|>" * pads), return_tensors="pt")["input_ids"]

never = [int(token) for token in options.never.split(",")] if options.never else None
with torch.inference_mode():
    out = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=(ids == model.config.image_token_id).int(),
        pixel_values=picture["pixel_values"],
        image_grid_thw=picture["image_grid_thw"],
        do_sample=False,
        max_new_tokens=options.tokens,
        suppress_tokens=never,
    )[0, ids.shape[1] :]
print(
    json.dumps(
        {
            "weights": len(model.state_dict()),
            "prompt_tokens": ids.shape[1],
            "image_tokens": pads,
            "tokens": out.tolist(),
            "text": tokenizer.decode(out),
        },
        ensure_ascii=False,
    )
)
