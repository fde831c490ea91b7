"""Times Hugging Face transformers on a Qwen2.5-VL folder (config.json + safetensors), CPU, f32.

    python tests/python/bench_transformers.py FOLDER [--threads 2] [--json]

  vision   one picture of 32x32 patches (448x448 pixels)
  prefill  a prompt of 512 tokens, the picture's 256 embeddings among them (made by `vision`)
  decode   64 greedy tokens after that prompt, with the KV cache and no stop token

Each is run once to warm up and then five times: median, minimum, maximum. Attention is SDPA.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import torch
import transformers
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.cache_utils import DynamicCache

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--prompt", type=int, default=512, help="tokens of the prompt")
parser.add_argument("--side", type=int, default=32, help="patches along each side of the picture")
parser.add_argument("--new", type=int, default=64, help="tokens to decode")
parser.add_argument("--runs", type=int, default=5)
parser.add_argument("--json", action="store_true")
options = parser.parse_args()

torch.set_num_threads(options.threads)
torch.manual_seed(0)
model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
    options.folder, dtype=torch.float32, attn_implementation="sdpa"
).eval()
config = model.config
vision = config.vision_config

# The prompt: random words, the picture between its markers, random words.
patches = options.side**2
image_tokens = patches // vision.spatial_merge_size**2
words = options.prompt - image_tokens - 2
assert words > 0, "the prompt is shorter than the picture"
special = [config.image_token_id, config.video_token_id, config.vision_start_token_id, config.vision_end_token_id]
limit = min(min(token for token in special if token is not None), config.text_config.vocab_size)
text = torch.randint(0, limit, (words,))
ids = torch.cat(
    [
        text[: words // 2],
        torch.tensor([config.vision_start_token_id]),
        torch.full((image_tokens,), config.image_token_id),
        torch.tensor([config.vision_end_token_id]),
        text[words // 2 :],
    ]
)[None]
pixels = torch.randn(patches, 3 * vision.temporal_patch_size * vision.patch_size**2)
grid = torch.tensor([[1, options.side, options.side]])
kinds = (ids == config.image_token_id).int()
positions, delta = model.model.get_rope_index(ids, kinds, image_grid_thw=grid)


def encode():
    return model.model.visual(pixels, grid_thw=grid).pooler_output


def prefill(cache, picture):
    """The prompt with the picture's embeddings; only the last position's logits, as in generation."""
    embeddings = model.get_input_embeddings()(ids)
    embeddings = embeddings.masked_scatter((kinds == 1)[..., None], picture)
    return model(
        inputs_embeds=embeddings, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
    ).logits


def decode(cache, logits):
    for step in range(options.new):
        token = logits[:, -1].argmax(-1, keepdim=True)
        place = (ids.shape[1] + step + delta).view(1, 1, 1).expand(3, 1, 1)
        logits = model(
            input_ids=token, position_ids=place, past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits


def summary(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


times = {"vision": [], "prefill": [], "decode": []}
with torch.inference_mode():
    # The parts give what the whole model gives.
    whole = model(
        input_ids=ids, position_ids=positions, pixel_values=pixels, image_grid_thw=grid, mm_token_type_ids=kinds
    ).logits[:, -1:]
    parts = prefill(DynamicCache(config=config.get_text_config()), encode())
    torch.testing.assert_close(parts, whole, atol=1e-3, rtol=1e-3)
    for run in range(options.runs + 1):
        cache = DynamicCache(config=config.get_text_config())
        start = time.perf_counter()
        picture = encode()
        encoded = time.perf_counter()
        logits = prefill(cache, picture)
        filled = time.perf_counter()
        decode(cache, logits)
        done = time.perf_counter()
        if run > 0:
            times["vision"].append(encoded - start)
            times["prefill"].append(filled - encoded)
            times["decode"].append(done - filled)

counts = {"vision": patches, "prefill": ids.shape[1], "decode": options.new}
units = {"vision": "patches/s", "prefill": "tokens/s", "decode": "tokens/s"}
result = {
    "transformers": transformers.__version__,
    "torch": torch.__version__.split("+")[0],
    "threads": options.threads,
    "parameters": sum(parameter.numel() for parameter in model.parameters()),
    "prompt_tokens": ids.shape[1],
    "image_tokens": image_tokens,
    "new_tokens": options.new,
    "runs": options.runs,
}
for name, values in times.items():
    result[name] = {
        "ms": summary([1000 * value for value in values]),
        units[name]: summary([counts[name] / value for value in values]),
    }
result["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

if options.json:
    print(json.dumps(result))
else:
    print(
        f"transformers {result['transformers']}, torch {result['torch']}, {options.threads} threads, "
        f"{result['parameters'] / 1e6:.1f} M parameters, prompt {ids.shape[1]} ({image_tokens} of the image)"
    )
    for name in times:
        ms, rate = result[name]["ms"], result[name][units[name]]
        print(
            f"{name:<8} {ms['median']:10.1f} ms  ({ms['min']:.1f} to {ms['max']:.1f})"
            f" {rate['median']:12.1f} {units[name]}"
        )
    print(f"{'peak RSS':<8} {result['peak_rss_mib']:10.0f} MiB")
