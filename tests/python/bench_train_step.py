"""Times a GRPO and a CPPO step in PyTorch and transformers, as the official code makes them: CPU, f32.

    cppo bench --size mid --device cpu --folder FOLDER --train-prompts 4 algorithm.name=cppo
    python tests/python/bench_train_step.py FOLDER [--prompts 4] [--n 5] [--threads 2]

The same shapes as `cppo bench --train-prompts`: pictures of 16x16 patches, 64 words, responses of 64 tokens.
A step samples the responses, then runs forward and backward over every response (GRPO), or over every response
under three pictures with all three graphs alive (CPPO), and AdamW.
"""

import argparse
import resource
import statistics
import time
from pathlib import Path

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("--prompts", type=int, default=4)
parser.add_argument("--n", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--runs", type=int, default=3)
options = parser.parse_args()

SIDE, WORDS, RESPONSE = 16, 64, 64
torch.set_num_threads(options.threads)
torch.manual_seed(0)
model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
    options.folder, dtype=torch.float32, attn_implementation="sdpa"
)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.01)
config = model.config
patches = SIDE * SIDE
image_tokens = patches // config.vision_config.spatial_merge_size**2
prompt = [config.vision_start_token_id] + [config.image_token_id] * image_tokens + [config.vision_end_token_id]
prompt = torch.tensor(prompt + [i * 31 % 1000 for i in range(WORDS - 2)])
rows = options.prompts * options.n
prompts = prompt.repeat(rows, 1)
grid = torch.tensor([[1, SIDE, SIDE]]).repeat(rows, 1)
width = 3 * config.vision_config.temporal_patch_size * config.vision_config.patch_size**2
pictures = [torch.randn(options.prompts, patches, width) for _ in range(3)]
rewards = torch.tensor([1.0] * round(0.4 * options.n) + [0.0] * (options.n - round(0.4 * options.n)))
advantages = ((rewards - rewards.mean()) / (rewards.std() + 1e-6)).repeat(options.prompts)[:, None]


def pixels(view):
    return pictures[view].repeat_interleave(options.n, 0).reshape(-1, width)


def extra(ids):
    return {"mm_token_type_ids": (ids == config.image_token_id).long(), "image_grid_thw": grid}


def sample():
    model.eval()
    with torch.no_grad():
        return model.generate(
            input_ids=prompts, attention_mask=torch.ones_like(prompts), pixel_values=pixels(0), **extra(prompts),
            do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=RESPONSE, min_new_tokens=RESPONSE,
            # A response with an image token would break the next forward.
            suppress_tokens=[config.image_token_id, config.video_token_id],
        )


def scores(ids, view):
    out = model(
        input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels(view), **extra(ids),
        logits_to_keep=RESPONSE + 1,
    )
    logits = out.logits[:, :-1].float()
    logprobs = logits.log_softmax(-1)
    entropy = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs.gather(-1, ids[:, -RESPONSE:, None])[..., 0], entropy


def k3(p, q):
    d = (q - p).clamp(-20, 20)
    return (d.exp() - d - 1).clamp(-10, 10)


def update(ids, contrastive):
    model.train()
    logprobs, entropy = scores(ids, 0)
    loss = -(advantages * (logprobs - logprobs.detach()).exp()).mean()
    if contrastive:
        kept, _ = scores(ids, 1)
        lost, entropy_lost = scores(ids, 2)
        shift = (entropy_lost - entropy).detach()
        score = shift.clamp(min=0) / (entropy_lost.detach() + 1e-6)
        mask = (score > score.median(-1, keepdim=True).values) & (shift > 0) & (advantages > 0)
        contrast = torch.nn.functional.softplus((k3(logprobs, kept) - k3(logprobs, lost)) / 0.1)
        loss = loss + 0.01 * (contrast * mask).sum() / mask.sum().clamp(min=1)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


for name in ["grpo", "cppo"]:
    seconds = []
    for run in range(options.runs + 1):
        started = time.perf_counter()
        ids = sample()
        sampled = time.perf_counter()
        update(ids, name == "cppo")
        ended = time.perf_counter()
        if run > 0:
            seconds.append((sampled - started, ended - sampled, ended - started))
    for part, values in zip(["rollout", "update", "step"], zip(*seconds)):
        print(f"{name} {part:8} {statistics.median(values):8.3f} s  ({min(values):.3f} to {max(values):.3f})")
    print(f"{name} memory   {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:8.1f} MB peak", flush=True)
