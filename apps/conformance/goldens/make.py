#!/usr/bin/env python3
"""Makes small random checkpoints with what transformers computes from them: see README.md beside this file.

    python make.py [--out DIR] [CASE...]     write the fixtures (all, or those named)
    python make.py --check DIR...            recompute existing folders and compare
"""

import argparse
import copy
import json
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from cases import CASES, COMMON

MARGIN = 0.05  # the least distance between the best and the second logit in any greedy step
VISIBLE = 0.01  # how far a wrong reading of the config must move some logit; 50 times the checker's tolerance
ROUNDING = 3e-5  # how far float32 may be from float64
DISTINCT = 8  # greedy tokens of which no two are equal: a model that repeats one token proves little


def config_of(case, **overrides):
    arguments = copy.deepcopy({**COMMON, **case["config"], **overrides})
    return AutoConfig.for_model(case["type"], **arguments)


def blank(config):
    model = AutoModelForCausalLM.from_config(copy.deepcopy(config), attn_implementation="eager", dtype=torch.float32)
    if config.model_type in ("mixtral", "qwen3_moe", "gpt_oss"):
        model.set_experts_implementation("eager")  # the grouped kernel has no float64
    return model


def fresh(config, weights):
    """A new model for every run: transformers 5.12 keeps the frequencies of the longest sequence a model has seen."""
    model = blank(config)
    model.load_state_dict(weights)
    model.generation_config.eos_token_id = None  # never stop early
    return model.eval()


def random_weights(case, seed):
    """Spread by role: norms around one, biases away from zero, matrices that keep the variance of what they get."""
    model = blank(config_of(case))
    generator = torch.Generator().manual_seed(seed)
    offset_norms = case["type"].startswith("gemma")  # these store w of (1 + w)
    tied = model.config.tie_word_embeddings
    for name, tensor in model.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.dim() == 1 or name.endswith("_bias"):
            if name.endswith("bias"):
                value = 0.2 * noise
            else:
                value = 0.25 * noise + (0.0 if offset_norms else 1.0)
        elif "embed_tokens" in name or "wte" in name:
            value = noise * ((0.12 if offset_norms else 0.3) if tied else 1.0)
        elif "wpe" in name:
            value = 0.3 * noise
        elif "lm_head" in name:
            value = 3.0 * noise / tensor.shape[-1] ** 0.5
        else:
            transposed = case["type"] == "gpt2" or (case["type"] == "gpt_oss" and tensor.dim() == 3)
            inputs = tensor.shape[-2] if transposed else tensor.shape[-1]
            value = (2.5 if ".gate.weight" in name else 1.4) * noise / inputs**0.5
        tensor.data.copy_(value.to(getattr(torch, case.get("storage", "float32"))))
    return model.state_dict()


@torch.no_grad()
def expected(config, weights, prompt, steps):
    """The four tensors of expected.safetensors."""
    logits = fresh(config, weights)(prompt[None]).logits[0]
    out = fresh(config, weights).generate(
        prompt[None], attention_mask=torch.ones(1, len(prompt), dtype=torch.long), max_new_tokens=steps,
        do_sample=False, use_cache=True, return_dict_in_generate=True, output_logits=True, pad_token_id=0)
    generated = out.sequences[0, len(prompt):]
    assert len(generated) == steps
    return dict(input_ids=prompt, logits=logits.float(), generated=generated, gen_logits=torch.cat(out.logits).float())


@torch.no_grad()
def whole(config, weights, tensors, dtype=torch.float32):
    """The logits of every generated token, from one forward without a cache for each (what greedy chose as input)."""
    ids = torch.cat([tensors["input_ids"], tensors["generated"]])
    start, steps = len(tensors["input_ids"]), len(tensors["generated"])
    return torch.stack([fresh(config, weights).to(dtype)(ids[None, :start + i]).logits[0, -1] for i in range(steps)])


def far(a, b):
    return (a - b).abs().max().item()


def objection(case, config, weights, tensors):
    """Why these weights make a poor fixture, or None."""
    best = tensors["gen_logits"].topk(2).values
    margin = (best[:, 0] - best[:, 1]).min().item()
    if margin < MARGIN:
        return f"greedy margin {margin:.3f}"
    new = tensors["generated"].tolist()
    if len(set(new)) < DISTINCT or min(new) < 3:
        return "repeats itself or meets a special token"
    with torch.no_grad():
        rounding = far(fresh(config, weights).double()(tensors["input_ids"][None]).logits[0], tensors["logits"])
    if rounding > ROUNDING:
        return f"float32 is {rounding:.1e} from float64"
    recomputed = whole(config, weights, tensors)
    cache = far(recomputed, tensors["gen_logits"])
    if not ((cache > VISIBLE) if case.get("cached") == "differs" else (cache < 1e-4)):
        return f"with cache {cache:.1e} from without"
    for what, overrides in case.get("blind_to", {}).items():
        moved = far(whole(config_of(case, **overrides), weights, tensors), recomputed)
        if moved < VISIBLE:
            return f"blind to: {what} ({moved:.1e})"
    return None


def legacy_spelling(config):
    """config.json as transformers 4 wrote it."""
    rope = config.pop("rope_parameters")
    config["torch_dtype"] = config.pop("dtype")
    config.pop("layer_types", None)
    if config["model_type"] == "gemma3_text":
        config["sliding_window_pattern"] = config.pop("_sliding_window_pattern", 6)
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    config["rope_theta"] = rope.pop("rope_theta")
    if "partial_rotary_factor" in rope:
        config["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    if "original_max_position_embeddings" in config:
        rope.pop("original_max_position_embeddings", None)
    kind = rope.pop("rope_type")
    # transformers 5 does not see "type" in gemma3's; the published ones say "rope_type".
    key = "rope_type" if config["model_type"] == "gemma3_text" else "type"
    config["rope_scaling"] = None if kind == "default" else {key: kind, **rope}
    return config


def as_published_gpt2(file, config):
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in load_file(file).items()}
    mask = torch.ones(config.n_positions, config.n_positions).tril()[None, None]
    tensors.update({f"h.{layer}.attn.bias": mask.clone() for layer in range(config.n_layer)})
    save_file(tensors, file, metadata={"format": "pt"})


def write(case, folder, config, weights, tensors):
    shutil.rmtree(folder, ignore_errors=True)
    storage = getattr(torch, case.get("storage", "float32"))
    limits = {"max_shard_size": f"{case['shard_kb']}KB"} if "shard_kb" in case else {}
    fresh(config, weights).to(storage).save_pretrained(
        folder, save_original_format=not case.get("fused", False), **limits)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if case.get("as_published"):
        as_published_gpt2(folder / "model.safetensors", config)
    written = json.loads((folder / "config.json").read_text())
    written = legacy_spelling(written) if case.get("legacy") else written
    (folder / "config.json").write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "expected.safetensors")


def make(name, out):
    case = CASES[name]
    config = config_of(case)
    for seed in range(sum(name.encode()) * 1000, sum(name.encode()) * 1000 + 400):
        weights = random_weights(case, seed)
        prompt = torch.randint(3, config.vocab_size, (case["prompt"],), generator=torch.Generator().manual_seed(seed))
        tensors = expected(config, weights, prompt, case["generate"])
        why = objection(case, config, weights, tensors)
        if why is None:
            write(case, out / name, config, weights, tensors)
            size = sum(f.stat().st_size for f in (out / name).iterdir())
            print(f"{name}: seed {seed}, {size // 1000} kB, logits std {tensors['logits'].std().item():.2f}", flush=True)
            return
        last = why
    sys.exit(f"{name}: no seed will do, the last because: {last}")


def check(folder):
    """Loads a folder as a user would and compares with its expected.safetensors; True if it agrees."""
    stored = load_file(folder / "expected.safetensors")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    again = expected(model.config, model.state_dict(), stored["input_ids"], len(stored["generated"]))
    same = torch.equal(stored["generated"], again["generated"])
    error = max(far(stored["logits"], again["logits"]), far(stored["gen_logits"], again["gen_logits"]))
    print(f"{folder.name}: logits {error:.1e}, tokens {'equal' if same else 'DIFFER'}", flush=True)
    return same and error < 2e-5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "fixtures")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)  # one order of summation
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if args.check:
        sys.exit(0 if all([check(pathlib.Path(name)) for name in args.names]) else 1)
    for name in args.names or CASES:
        make(name, args.out)


if __name__ == "__main__":
    main()
