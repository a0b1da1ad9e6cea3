"""Vision-language models of real architectures with random weights, two layers and small widths, as folders.

Each has what a checkpoint of the hub has: configuration, weights, tokenizer with the family's special tokens, chat
template, image processor. Templates are those of the published models, shortened to what a photo and a text need.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ImageProcessorPil,
    LlamaConfig,
    LlavaConfig,
    LlavaOnevisionConfig,
    LlavaOnevisionImageProcessorPil,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2Config,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    SiglipVisionConfig,
    SmolVLMConfig,
    SmolVLMImageProcessorPil,
)
from transformers.utils.logging import disable_progress_bar

QWEN_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
               "<|video_pad|>")  # fmt: skip
IDEFICS_TOKENS = ("<|endoftext|>", "<|im_start|>", "<fake_token_around_image>", "<image>", "<end_of_utterance>",
                  "<global-img>", *(f"<row_{k // 6 + 1}_col_{k % 6 + 1}>" for k in range(36)))  # fmt: skip
QWEN_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% for content in message['content'] %}{% if content['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IDEFICS_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
LLAVA_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' ' }}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
ONEVISION_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ '\n' + content['text'] }}"
    "{% endfor %}{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = (
    "where is every pin? which colour has the pin? which shape has the lid? which rules are broken? none red blue "
    "round square missing_pin extra_pin lid-goes-with-pin @ locate:pin = [10, 20, 30, 40] @ attribute:pin.colour = "
    "@ attribute:lid.shape = @ verdict = User: Assistant: USER: ASSISTANT: system You are a helpful assistant. user"
)
TEXT = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 4096}  # fmt: skip


def tokenizer(special: tuple[str, ...], end: str, **names: str) -> PreTrainedTokenizerFast:
    """Bytes, a few merges as they come of a line of text, and the special tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        [WORDS] * 3, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    )
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=end, pad_token=special[0], model_max_length=4096, **names
    )


def qwen2_5_vl(folder: Path) -> None:
    """Qwen2.5-VL: positions of three axes, photos of any size."""
    tokens = tokenizer(QWEN_TOKENS, "<|im_end|>")
    ids = _qwen_ids(tokens)
    text = {**TEXT, **_ends(tokens), "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]}}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
              "patch_size": 14, "spatial_merge_size": 2, "window_size": 56, "fullatt_block_indexes": [1]}  # fmt: skip
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 16}, patch_size=14)
    _write(folder, config, tokens, QWEN_TEMPLATE, images, "Qwen2_5_VLProcessor")


def qwen3_vl(folder: Path) -> None:
    """Qwen3-VL: the same with patches of 16 and features of several depths."""
    tokens = tokenizer(QWEN_TOKENS, "<|im_end|>")
    ids = _qwen_ids(tokens)
    rope = {"rope_type": "default", "mrope_section": [3, 3, 2], "mrope_interleaved": True}
    text = {**TEXT, **_ends(tokens), "head_dim": 16, "rope_parameters": rope}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
              "patch_size": 16, "spatial_merge_size": 2, "num_position_embeddings": 64,
              "deepstack_visual_indexes": [0]}  # fmt: skip
    config = Qwen3VLConfig(text_config=text, vision_config=vision, **ids)
    images = Qwen2VLImageProcessorPil(
        size={"shortest_edge": 64 * 64, "longest_edge": 32 * 32 * 16}, patch_size=16, merge_size=2
    )
    _write(folder, config, tokens, QWEN_TEMPLATE, images, "Qwen3VLProcessor")


def _ends(tokens: PreTrainedTokenizerFast) -> dict[str, int]:
    """More tokens than the tokenizer has, as published models do."""
    return {"vocab_size": len(tokens) + 5, "bos_token_id": tokens.pad_token_id, "eos_token_id": tokens.eos_token_id}


def _qwen_ids(tokens: PreTrainedTokenizerFast) -> dict[str, int]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>",
             "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}  # fmt: skip
    return {key: tokens.convert_tokens_to_ids(name) for key, name in names.items()}


def idefics3(folder: Path) -> None:
    """Idefics3, as SmolVLM 1 is: a photo in tiles, and an overview of it."""
    _idefics(folder, Idefics3Config, Idefics3ImageProcessorPil, "Idefics3Processor")


def smolvlm(folder: Path) -> None:
    """SmolVLM 2."""
    _idefics(folder, SmolVLMConfig, SmolVLMImageProcessorPil, "SmolVLMProcessor")


def _idefics(folder: Path, configuration: Callable[..., Any], images: Callable[..., Any], processor: str) -> None:
    tokens = tokenizer(IDEFICS_TOKENS, "<end_of_utterance>")
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 32, "patch_size": 8}  # fmt: skip
    config = configuration(
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(tokens) + 5},
        vision_config=vision,
        scale_factor=2,
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        pad_token_id=tokens.pad_token_id,
    )
    made = images(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    _write(folder, config, tokens, IDEFICS_TEMPLATE, made, processor, image_seq_len=4)


def llava(folder: Path) -> None:
    """LLaVA 1.5: one square of fixed size, no token that ends a turn in its template."""
    tokens = tokenizer(("<pad>", "</s>", "<image>"), "</s>")
    vision = CLIPVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                              image_size=56, patch_size=14, projection_dim=32)  # fmt: skip
    config = LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**TEXT, vocab_size=len(tokens) + 5),
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_feature_layer=-2,
    )
    images = CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    _write(folder, config, tokens, LLAVA_TEMPLATE, images, "LlavaProcessor", patch_size=14,
           vision_feature_select_strategy="default", num_additional_image_tokens=1)  # fmt: skip


def llava_onevision(folder: Path) -> None:
    """LLaVA-OneVision: an overview and tiles of the size that fits best."""
    tokens = tokenizer(("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"), "<|im_end|>")
    pinpoints = [[56, 56], [56, 112], [112, 56], [112, 112]]
    vision = SiglipVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                                image_size=56, patch_size=14, vision_use_head=False)  # fmt: skip
    config = LlavaOnevisionConfig(
        vision_config=vision,
        text_config=Qwen2Config(**TEXT, vocab_size=len(tokens) + 5),
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        video_token_id=tokens.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
        vision_aspect_ratio="anyres_max_9",
    )
    images = LlavaOnevisionImageProcessorPil(size={"height": 56, "width": 56}, image_grid_pinpoints=pinpoints)
    _write(folder, config, tokens, ONEVISION_TEMPLATE, images, "LlavaOnevisionProcessor", num_image_tokens=16,
           vision_feature_select_strategy="full", vision_aspect_ratio="anyres_max_9")  # fmt: skip


FAMILIES: dict[str, Callable[[Path], None]] = {
    made.__name__: made for made in (llava, llava_onevision, idefics3, smolvlm, qwen2_5_vl, qwen3_vl)
}


def _write(
    folder: Path, config: Any, tokens: Any, template: str, images: Any, processor: str, **settings: Any
) -> None:  # fmt: skip
    """A folder as `huggingface_hub` would have downloaded it."""
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config).eval()
    with torch.no_grad():  # larger than at the start of training, so that photos and questions differ in answers
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.15 if "embed" in name else weight.shape[-1] ** -0.5)
    model.generation_config.eos_token_id = tokens.eos_token_id
    disable_progress_bar()
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    images.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": processor, **settings}))
