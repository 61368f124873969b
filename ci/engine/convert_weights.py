"""A program for the engine's interpreter: a GGUF file of a small Llama model becomes a folder as on the Hugging Face hub.

    python convert_weights.py MODEL.gguf FOLDER

Weights are stored as bfloat16, as those of the models that they stand in for: so a server that is not told otherwise
computes with the type that it has on a GPU. Exit 3: a model of a kind that it does not know.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from safetensors.torch import save_file

UNKNOWN_MODEL = 3
CONTROL_TOKEN = 3  # of tokenizer.ggml.token_type

WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
IN_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def main(source: str, target: str) -> None:
    reader = GGUFReader(source)
    values = {name: field.contents() for name, field in reader.fields.items()}
    kind = (values.get("general.architecture"), values.get("tokenizer.ggml.pre"))
    if kind != ("llama", "smollm"):
        sys.stderr.write(f"unknown model: architecture {kind[0]}, tokenizer {kind[1]}\n")
        raise SystemExit(UNKNOWN_MODEL)
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for tensor in reader.tensors:
        weights = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        name, weights = named(tensor.name, weights.reshape(tensor.shape[::-1].tolist()), values)
        tensors[name] = torch.from_numpy(np.ascontiguousarray(weights)).to(torch.bfloat16)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # readable in a container, whoever runs there
    for name, content in configuration(values, tied="lm_head.weight" not in tensors).items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def named(name: str, weights: Any, values: Mapping[str, Any]) -> tuple[str, Any]:
    """A tensor under its name on the hub, in the order of rows that is usual there."""
    first, *rest = name.removesuffix(".weight").split(".")
    if first in WHOLE:
        return f"{WHOLE[first]}.weight", weights
    layer, part = rest
    heads = {"attn_q": "llama.attention.head_count", "attn_k": "llama.attention.head_count_kv"}
    if part in heads:
        # llama.cpp stores a head's pairs of rotated rows side by side, the hub its two halves one after the other
        count = values[heads[part]]
        pairs = weights.reshape(count, -1, 2, weights.shape[1])
        weights = pairs.transpose(0, 2, 1, 3).reshape(weights.shape)
    return f"model.layers.{layer}.{IN_BLOCK[part]}.weight", weights


def configuration(values: Mapping[str, Any], *, tied: bool) -> dict[str, Any]:
    """The JSON files beside the weights."""
    tokens = values["tokenizer.ggml.tokens"]
    begin, end = values["tokenizer.ggml.bos_token_id"], values["tokenizer.ggml.eos_token_id"]
    hidden, heads = values["llama.embedding_length"], values["llama.attention.head_count"]
    context = values["llama.context_length"]
    ids = {"bos_token_id": begin, "eos_token_id": end, "pad_token_id": end}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        "vocab_size": len(tokens),
        "hidden_size": hidden,
        "intermediate_size": values["llama.feed_forward_length"],
        "num_hidden_layers": values["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": values["llama.attention.head_count_kv"],
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "max_position_embeddings": context,
        "rms_norm_eps": values["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": values["llama.rope.freq_base"],
        "tie_word_embeddings": tied,
        "attention_bias": False,
        "mlp_bias": False,
        **ids,
    }
    types = values["tokenizer.ggml.token_type"]
    added = [
        {"id": number, "content": token, "special": True, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for number, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind == CONTROL_TOKEN
    ]
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {**byte_level, "add_prefix_space": False},
            ],
        },
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": values["tokenizer.ggml.merges"],
        },
    }
    return {
        "config.json": config,
        "generation_config.json": ids,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": context,
            "clean_up_tokenization_spaces": False,
            "bos_token": tokens[begin],
            "eos_token": tokens[end],
            "pad_token": tokens[end],
            "chat_template": values["tokenizer.chat_template"],
        },
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
