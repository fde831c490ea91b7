"""Loads an adapter in Hugging Face's peft and compares its logits with those of this project.

    CPPO_PEFT=FOLDER cargo test --release --workspace --test product -- lora::the_reference_model
    python tests/python/check_peft_loads.py FOLDER

The test writes an adapter of the reference model and, as `logits.f32`, the logits of its case 3.
Exit code 1 where peft finds a key missing or unexpected, or a logit is off by more than 1e-4. Prints
one JSON line.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import Qwen2_5_VLForConditionalGeneration

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
folder = parser.parse_args().folder

reference = Path(__file__).resolve().parent.parent / "reference"
case = json.loads((reference / "reference.json").read_text())["cases"][3]
arrays = load_file(reference / "reference.safetensors")
ids = torch.tensor([case["input_ids"]])

config = json.loads((folder / "adapter_config.json").read_text())
base = Qwen2_5_VLForConditionalGeneration.from_pretrained(config["base_model_name_or_path"], dtype=torch.float32)
inputs = {
    "input_ids": ids,
    "attention_mask": torch.ones_like(ids),
    "mm_token_type_ids": (ids == base.config.image_token_id).int(),
    "pixel_values": arrays["case3.pixel_values"],
    "image_grid_thw": torch.tensor([case["grid_thw"]]),
}
with torch.inference_mode():
    plain = base.eval()(**inputs).logits[0]

# peft only warns of keys that it does not find.
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = PeftModel.from_pretrained(base, folder).eval()
if wrong := [str(warning.message) for warning in caught if "keys" in str(warning.message)]:
    sys.exit(f"{folder}: {wrong}")
saved = load_file(folder / "adapter_model.safetensors")
adapted = sum(".lora_A." in name for name, _ in model.named_parameters())
if adapted * 2 != len(saved):
    sys.exit(f"{folder}: peft adapts {adapted} layers, the file holds {len(saved) // 2}")

with torch.inference_mode():
    expected = model(**inputs).logits[0]
found = torch.from_numpy(numpy.fromfile(folder / "logits.f32", dtype="<f4")).reshape(expected.shape)
worst = (found - expected).abs().max().item()
print(
    json.dumps(
        {
            "adapted_layers": adapted,
            "tokens": expected.shape[0],
            "largest_difference": worst,
            "difference_to_base": (plain - expected).abs().max().item(),
        }
    )
)
sys.exit(worst > 1e-4)
