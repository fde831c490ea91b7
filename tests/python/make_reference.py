"""Makes further reference values with PyTorch and Hugging Face transformers.

    python tests/python/make_reference.py

Reads tests/reference/{model, reference.json, reference.safetensors} and writes, beside them,

  extra.json, extra.safetensors   two pictures in one prompt, text only, a padded batch, and the
                                  scores of given responses with the gradients behind them
  model_flat/                     a second random model as older checkpoints on the hub store it: flat
                                  config, older weight names, bf16 shards, a head of its own

Needs torch, transformers 5.23, safetensors, numpy, and no network. Everything is computed in f32 on
the CPU. Logits are kept for some positions only, listed in the array `<name>.rows`.
"""

import json
import math
import shutil
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

FOLDER = Path(__file__).resolve().parent.parent / "reference"
FLAT = FOLDER / "model_flat"
REFERENCE = json.loads((FOLDER / "reference.json").read_text())
STORED = load_file(FOLDER / "reference.safetensors")
IMAGE_PAD = REFERENCE["special_tokens"]["<|image_pad|>"]
IM_END = REFERENCE["special_tokens"]["<|im_end|>"]
PAD = REFERENCE["special_tokens"]["<|endoftext|>"]
VOCABULARY = 496
LAST = 8  # every logits array has at least the last 8 positions

torch.manual_seed(20250501)
arrays: dict[str, torch.Tensor] = {}


def load(folder):
    """The model in f32; any key that is missing, left over or of another shape is an error."""
    model, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], f"{folder}: {kind}: {report[kind]}"
    return model.eval()


def pictures(cases):
    """Pixel values and grids of these reference cases."""
    if not cases:
        return None, None
    pixels = torch.cat([STORED[f"case{case}.pixel_values"] for case in cases])
    return pixels, torch.tensor([REFERENCE["cases"][case]["grid_thw"] for case in cases])


def prompt(question, cases):
    """The chat text of a question about these cases' pictures, and its token ids."""
    content = [{"type": "image"} for _ in cases]
    content.append({"type": "text", "text": f"{question} {REFERENCE['instruction']}"})
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    expanded = text
    for case in cases:
        _, height, width = REFERENCE["cases"][case]["grid_thw"]
        expanded = expanded.replace("<|image_pad|>", "\0" * (height * width // 4), 1)
    ids = tokenizer(expanded.replace("\0", "<|image_pad|>"))["input_ids"]
    return text, torch.tensor([ids])


def positions(model, ids, grids, mask=None):
    """mRoPE positions [3, batch, tokens] and the offset of the next position, [batch]."""
    places, delta = model.model.get_rope_index(
        ids, (ids == IMAGE_PAD).int(), image_grid_thw=grids, attention_mask=mask
    )
    return places, delta.flatten()


def forward(model, ids, pixels, grids, mask=None):
    places, delta = positions(model, ids, grids, mask)
    logits = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=places,
        pixel_values=pixels,
        image_grid_thw=grids,
        mm_token_type_ids=(ids == IMAGE_PAD).int(),
        use_cache=False,
    ).logits
    return logits, places, delta


def keep(name, **values):
    for key, value in values.items():
        arrays[f"{name}.{key}"] = value.detach().contiguous().clone()


def single(model, name, question, cases):
    """One prompt alone: ids, positions, vision embeddings and logits at every 8th and the last positions."""
    text, ids = prompt(question, cases)
    pixels, grids = pictures(cases)
    logits, places, delta = forward(model, ids, pixels, grids)
    size = ids.shape[1]
    rows = torch.tensor(sorted({*range(0, size, 8), *range(size - LAST, size)}))
    keep(name, input_ids=ids[0], position_ids=places[:, 0], rope_delta=delta, rows=rows, logits=logits[0, rows])
    if cases:
        keep(name, vision=model.model.visual(pixels, grid_thw=grids).pooler_output)
    return {"question": question, "cases": cases, "text": text}


def batch(model, name, members):
    """Prompts of different length in one padded batch; padding left or right gives the same logits."""
    prompts = [prompt(question, cases)[1][0] for question, cases in members]
    pixels, grids = pictures([case for _, cases in members for case in cases])
    longest = max(map(len, prompts))
    kept = {}
    for side in ("left", "right"):
        ids = torch.full((len(prompts), longest), PAD)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(prompts):
            where = slice(longest - len(tokens), None) if side == "left" else slice(len(tokens))
            ids[row, where] = tokens
            mask[row, where] = 1
        logits, places, delta = forward(model, ids, pixels, grids, mask)
        kept[side] = torch.stack([logits[row][mask[row].bool()][-LAST:] for row in range(len(prompts))])
        keep(f"{name}.{side}", input_ids=ids, attention_mask=mask, position_ids=places, rope_delta=delta)
    alone = []
    for tokens, (_, cases) in zip(prompts, members):
        alone.append(forward(model, tokens[None], *pictures(cases))[0][0, -LAST:])
    for side, logits in kept.items():
        torch.testing.assert_close(logits, torch.stack(alone), atol=1e-5, rtol=0, msg=f"padding {side}")
    keep(name, logits=kept["left"])
    return [{"question": question, "cases": cases} for question, cases in members]


def scoring(model, name, case, lengths, temperature):
    """Log-probability and entropy of given responses, one response at a time, and the gradient of
    sum(log-probability * cotangent) with respect to every parameter."""
    ids = torch.tensor([REFERENCE["cases"][case]["input_ids"]])
    pixels, grids = pictures([case])
    shape = (len(lengths), max(lengths))
    responses, mask = torch.full(shape, PAD), torch.zeros(shape, dtype=torch.int64)
    cotangents, logprobs, entropies = torch.zeros(shape), torch.zeros(shape), torch.zeros(shape)
    model.zero_grad()
    for row, length in enumerate(lengths):
        responses[row, :length] = torch.randint(0, 480, (length,))
        if length < shape[1]:
            responses[row, length - 1] = IM_END
        mask[row, :length] = 1
        cotangents[row, :length] = torch.randn(length)
        whole = torch.cat([ids, responses[row : row + 1, :length]], dim=1)
        logits = forward(model, whole, pixels, grids)[0][0, ids.shape[1] - 1 : -1] / temperature
        logs = F.log_softmax(logits, dim=-1)
        chosen = logs.gather(1, responses[row, :length, None])[:, 0]
        (chosen * cotangents[row, :length]).sum().backward()
        logprobs[row, :length] = chosen.detach()
        entropies[row, :length] = -(logs.exp() * logs).sum(-1).detach()
    keep(
        name, responses=responses, response_mask=mask, cotangents=cotangents, logprobs=logprobs, entropy=entropies
    )
    for key, parameter in model.named_parameters():
        keep(f"{name}.grad", **{key: parameter.grad})
    model.zero_grad()
    return {"case": case, "lengths": lengths, "temperature": temperature}


def make_flat_model():
    """Random weights in the older layout on disk: flat config, bf16, older names, three shards."""
    special = REFERENCE["special_tokens"]
    config = {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "attention_dropout": 0.0,
        "bos_token_id": PAD,
        "eos_token_id": IM_END,
        "vision_start_token_id": special["<|vision_start|>"],
        "vision_end_token_id": special["<|vision_end|>"],
        "vision_token_id": special["<|vision_pad|>"],
        "image_token_id": IMAGE_PAD,
        "video_token_id": special["<|video_pad|>"],
        "hidden_act": "silu",
        "hidden_size": 48,
        "initializer_range": 0.02,
        "intermediate_size": 112,
        "max_position_embeddings": 2048,
        "max_window_layers": 3,
        "model_type": "qwen2_5_vl",
        "num_attention_heads": 6,
        "num_hidden_layers": 3,
        "num_key_value_heads": 3,
        "rms_norm_eps": 1e-05,
        "rope_theta": 50000.0,
        "sliding_window": 512,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.41.2",
        "use_cache": True,
        "use_sliding_window": False,
        "vision_config": {
            "depth": 3,
            "hidden_act": "silu",
            "hidden_size": 32,
            "intermediate_size": 52,
            "num_heads": 4,
            "in_chans": 3,
            "out_hidden_size": 48,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "spatial_patch_size": 14,
            "window_size": 84,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
            "temporal_patch_size": 2,
        },
        "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
        "vocab_size": VOCABULARY + 16,
    }
    shutil.rmtree(FLAT, ignore_errors=True)
    FLAT.mkdir()
    (FLAT / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig.from_pretrained(FLAT))

    weights = {}
    for key, value in model.state_dict().items():
        if key.endswith(("norm.weight", "norm1.weight", "norm2.weight", "layernorm.weight", "ln_q.weight")):
            value = 1 + 0.2 * torch.randn_like(value)
        elif key.endswith(".bias"):
            value = 0.1 * torch.randn_like(value)
        elif "embed_tokens" in key:
            value = torch.randn_like(value)
        else:
            value = 1.2 * torch.randn_like(value) / math.sqrt(value[0].numel())
        older = key.removeprefix("model.") if key.startswith("model.visual.") else key
        weights[older.replace("model.language_model.", "model.")] = value.to(torch.bfloat16)

    total = sum(value.nbytes for value in weights.values())
    shards, filled = [{}], 0
    for key in sorted(weights):
        if filled > total * len(shards) / 3:
            shards.append({})
        shards[-1][key] = weights[key].contiguous()
        filled += weights[key].nbytes
    names = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file(shard, FLAT / name, metadata={"format": "pt"})
        names |= {key: name for key in shard}
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(names.items()))}
    (FLAT / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")

    # The text and image settings are those of the first model; older folders keep the chat template
    # in tokenizer_config.json.
    for name in ("tokenizer.json", "preprocessor_config.json"):
        shutil.copy(FOLDER / "model" / name, FLAT / name)
    settings = json.loads((FOLDER / "model" / "tokenizer_config.json").read_text())
    settings["chat_template"] = (FOLDER / "model" / "chat_template.jinja").read_text()
    (FLAT / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")

    loaded = load(FLAT)
    state = loaded.state_dict()
    assert len(state) == len(weights), "a weight is missing"
    for key, value in state.items():
        older = key.removeprefix("model.") if key.startswith("model.visual.") else key
        saved = weights[older.replace("model.language_model.", "model.")]
        assert torch.equal(value, saved.float()), f"{key} was not loaded"
    assert not torch.equal(loaded.lm_head.weight, loaded.model.language_model.embed_tokens.weight)
    return loaded


def greedy(model, case, new_tokens, never):
    """Greedy continuation of a reference case, without a cache, as long as the best logit leads clearly."""
    ids = torch.tensor([REFERENCE["cases"][case]["input_ids"]])
    pixels, grids = pictures([case])
    start = ids.shape[1]
    for _ in range(new_tokens):
        logits = forward(model, ids, pixels, grids)[0][0, -1].clone()
        logits[never] = -math.inf
        best = logits.topk(2)
        if best.values[0] - best.values[1] < 0.01:
            break
        ids = torch.cat([ids, best.indices[:1][None]], dim=1)
        if ids[0, -1] == IM_END:
            break
    return ids[0, start:].tolist()


tokenizer = AutoTokenizer.from_pretrained(FOLDER / "model")
about = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}

tiny = load(FOLDER / "model")
# The way the values are made here gives the stored ones: same ids, positions and logits.
for number, case in enumerate(REFERENCE["cases"]):
    with torch.no_grad():
        same = forward(tiny, torch.tensor([case["input_ids"]]), *pictures([number]))
    assert prompt(case["question"], [number])[1][0].tolist() == case["input_ids"]
    assert same[1][:, 0].tolist() == case["position_ids"]
    torch.testing.assert_close(same[0][0], STORED[f"case{number}.logits"], atol=1e-5, rtol=0)

with torch.no_grad():
    about["two_images"] = single(tiny, "two_images", "What differs between the two pictures?", [0, 2])
    about["text_only"] = single(tiny, "text_only", "How many sides does a hexagon have?", [])
    about["batch"] = batch(
        tiny,
        "batch",
        [
            (REFERENCE["cases"][0]["question"], [0]),
            ("How many sides does a hexagon have?", []),
            ("What differs between the two pictures?", [0, 2]),
        ],
    )
about["scoring"] = scoring(tiny, "scoring", 1, [12, 7, 10], 0.7)

flat = make_flat_model()
# The pad ids that no tokenizer knows are never sampled either.
never = REFERENCE["never_sampled"] + list(range(VOCABULARY, VOCABULARY + 16))
with torch.no_grad():
    about["flat"] = {
        "one": single(flat, "flat.one", REFERENCE["cases"][1]["question"], [1]),
        "two": single(flat, "flat.two", "What differs between the two pictures?", [1, 2]),
        "never_sampled": never,
        "greedy_case": 1,
    }
    about["flat"]["greedy_ids"] = greedy(flat, 1, 24, never)

save_file(dict(sorted(arrays.items())), FOLDER / "extra.safetensors")
(FOLDER / "extra.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")
for path in [FOLDER / "extra.json", FOLDER / "extra.safetensors", *sorted(FLAT.iterdir())]:
    print(f"{path.stat().st_size:>9}  {path.relative_to(FOLDER)}")
print("greedy", about["flat"]["greedy_ids"])
