"""Adapters: low-rank changes of a model's linear maps (Hu et al. 2021, arXiv 2106.09685), through peft.

An adapter that does not reach the model is the most common failure of such training, and peft passes over it: weights
of another name are left out, and the model answers as if it had never been trained. Here every weight of the adapter
must find its place and every place its weight.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from logicls.errors import BundleError, Problem

ADAPTER_FILE = "adapter_model.safetensors"
"""As peft names it, so that others can load it too."""
MAX_LISTED_NAMES = 3
"""Names that an error lists."""


def add_adapter(model: Any, *, rank: int, alpha: int, dropout: float, scope: Literal["language", "everywhere"]) -> Any:
    """The model with a fresh adapter, which changes nothing yet; all other weights are frozen."""
    from peft import LoraConfig

    targets = find_target_modules(model, scope)
    return attach_adapter(model, LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets))


def attach_adapter(model: Any, config: Any) -> Any:
    """The model with an adapter of that configuration of peft."""
    from peft import get_peft_model

    config.base_model_name_or_path = None  # the bundle knows it better, by its hash
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*is_gradient_checkpointing.*")  # peft asks by the old name
        return get_peft_model(model, config)


def find_target_modules(model: Any, scope: Literal["language", "everywhere"]) -> list[str]:
    """Full names of the linear maps that are adapted: those of the language model, or of all but the last layer."""
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    of_language = {id(module) for module in decoder.modules()}
    # peft changes nothing in here, because its maps are never called.
    inside = {id(part) for m in model.modules() if isinstance(m, nn.MultiheadAttention) for part in m.modules()}
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head and id(module) not in inside
        and (scope == "everywhere" or id(module) in of_language)
    ]  # fmt: skip


def save_adapter(adapter: Any, folder: Path, base: str) -> None:
    """Write the adapter's weights and configuration; `base` is the name of the model that it belongs to."""
    config = adapter.peft_config["default"]
    config.base_model_name_or_path, config.inference_mode = base, True
    config.save_pretrained(folder)
    save_file(
        {name: value.contiguous().cpu() for name, value in get_adapter_weights(adapter).items()}, folder / ADAPTER_FILE
    )


def load_adapter(model: Any, folder: Path) -> Any:
    """The model with the adapter in a folder.

    Raises:
        BundleError: The adapter cannot be read (LC502), or does not fit the model weight by weight (LC513).
    """
    from peft import PeftConfig

    try:
        config = PeftConfig.from_pretrained(str(folder))
        given = load_file(folder / ADAPTER_FILE)
        adapter = attach_adapter(model, config)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise BundleError(Problem("LC502", f"cannot be loaded: {error}", str(folder))) from error
    set_adapter_weights(adapter, given, folder)
    return adapter.eval()


def set_adapter_weights(adapter: Any, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Put weights into an adapter, all of them into all places. `folder` is where they are from.

    Raises:
        BundleError: A weight is missing, superfluous, of another shape, or did not arrive (LC513).
    """
    from peft import set_peft_model_state_dict

    wanted = get_adapter_weights(adapter)
    faults = [
        _describe_mismatch("are missing", [name for name in wanted if name not in weights]),
        _describe_mismatch("belong nowhere", [name for name in weights if name not in wanted]),
        _describe_mismatch(
            "have another shape", [n for n in weights if n in wanted and weights[n].shape != wanted[n].shape]
        ),
    ]
    if not any(faults):
        set_peft_model_state_dict(adapter, dict(weights))
        now = get_adapter_weights(adapter)
        lost = [name for name in weights if not torch.equal(now[name].cpu(), weights[name].to(now[name].dtype))]
        faults = [_describe_mismatch("did not arrive", lost)]
    advice = "Use the model that it was trained on, or train again."
    problems = [
        Problem("LC513", f"weights of the adapter {fault}.", str(folder), advice=advice) for fault in faults if fault
    ]
    if problems:
        raise BundleError(problems)


def get_adapter_weights(adapter: Any) -> dict[str, Tensor]:
    """The adapter's weights, by the names that they are saved under."""
    from peft import get_peft_model_state_dict

    found: dict[str, Tensor] = get_peft_model_state_dict(adapter, save_embedding_layers=False)
    return found


def _describe_mismatch(what: str, names: list[str]) -> str:
    more = f" and {len(names) - MAX_LISTED_NAMES} more" if len(names) > MAX_LISTED_NAMES else ""
    return f"{what}: {', '.join(sorted(names)[:MAX_LISTED_NAMES])}{more}" if names else ""
