"""LoRA adapters of hub models (Hu et al. 2021, arXiv 2106.09685), through peft.

peft ignores weights with unknown names, so that a model may answer as if it had never been trained. Here every weight
of a saved adapter must match one of the model's, and the other way round.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from logicls.errors import BundleError, Problem
from logicls.models.hub.loading import HubModel

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

ADAPTER_FILE = "adapter_model.safetensors"
"""File name that peft uses, so that other tools can load the adapter."""
MAX_LISTED_NAMES = 3
"""Names of weights that an error lists."""
Scope = Literal["language", "everywhere"]


def add_adapter(model: HubModel, *, rank: int, alpha: int, dropout: float, scope: Scope) -> PeftModel:
    """Add a new adapter, whose initial output is zero, and freeze all other weights.

    Args:
        model: The base model.
        rank: Rank of the low-rank matrices.
        alpha: Scale of the adapter, divided by the rank.
        dropout: Probability of dropout on the adapter's input.
        scope: Adapt the linear layers of the language model, or all of them.
    """
    from peft import LoraConfig

    targets = find_target_modules(model, scope)
    return attach_adapter(model, LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets))


def attach_adapter(model: HubModel, config: PeftConfig) -> PeftModel:
    """Attach an adapter with that configuration."""
    from peft import get_peft_model

    config.base_model_name_or_path = None  # bundle.json identifies the base model by its hash
    with warnings.catch_warnings():
        # peft reads an attribute by its former name.
        warnings.filterwarnings("ignore", message=r".*is_gradient_checkpointing.*")
        adapter: Any = get_peft_model(model, config)
    found: PeftModel = adapter
    return found


def find_target_modules(model: HubModel, scope: Scope) -> list[str]:
    """List the full names of the linear layers to adapt: those of the language model, or all but the output layer."""
    decoder: Any = model.get_decoder()
    head = model.get_output_embeddings()
    in_decoder = {id(module) for module in decoder.modules()}
    # nn.MultiheadAttention reads the weights of its linear layers without calling them, so adapters have no effect.
    in_attention = {id(part) for m in model.modules() if isinstance(m, nn.MultiheadAttention) for part in m.modules()}
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head and id(module) not in in_attention
        and (scope == "everywhere" or id(module) in in_decoder)
    ]  # fmt: skip


def save_adapter(adapter: PeftModel, folder: Path, base: str) -> None:
    """Write the weights and the configuration of an adapter. `base`: name of its base model."""
    config = adapter.peft_config["default"]
    config.base_model_name_or_path, config.inference_mode = base, True
    config.save_pretrained(str(folder))
    weights = {name: value.contiguous().cpu() for name, value in get_adapter_weights(adapter).items()}
    save_file(weights, folder / ADAPTER_FILE)


def load_adapter(model: HubModel, folder: Path) -> PeftModel:
    """Load the adapter in a folder into a model.

    Raises:
        BundleError: The adapter cannot be read (LC502), or its weights do not match the model's (LC513).
    """
    from peft import PeftConfig

    try:
        config = PeftConfig.from_pretrained(str(folder))
        weights = load_file(folder / ADAPTER_FILE)
        adapter = attach_adapter(model, config)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise BundleError(Problem("LC502", f"cannot be loaded: {error}", str(folder))) from error
    set_adapter_weights(adapter, weights, folder)
    adapter.eval()
    return adapter


def set_adapter_weights(adapter: PeftModel, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Set all weights of an adapter. `folder`: their source, for messages.

    Raises:
        BundleError: A weight is missing, unexpected, of another shape, or was not set (LC513).
    """
    from peft import set_peft_model_state_dict

    expected = get_adapter_weights(adapter)
    other_shape = [name for name in weights if name in expected and weights[name].shape != expected[name].shape]
    faults = [
        _describe_mismatch("are missing", [name for name in expected if name not in weights]),
        _describe_mismatch("are unexpected", [name for name in weights if name not in expected]),
        _describe_mismatch("have another shape", other_shape),
    ]
    if not any(faults):
        set_peft_model_state_dict(adapter, dict(weights))
        now = get_adapter_weights(adapter)
        lost = [name for name in weights if not torch.equal(now[name].cpu(), weights[name].to(now[name].dtype))]
        faults = [_describe_mismatch("were not set", lost)]
    advice = "Use the base model that it was trained on, or train again."
    problems = [
        Problem("LC513", f"weights of the adapter {fault}.", str(folder), advice=advice) for fault in faults if fault
    ]
    if problems:
        raise BundleError(problems)


def get_adapter_weights(adapter: PeftModel) -> dict[str, Tensor]:
    """Return the adapter's weights by the names under which they are saved."""
    from peft import get_peft_model_state_dict

    weights: dict[str, Tensor] = get_peft_model_state_dict(adapter, save_embedding_layers=False)
    return weights


def _describe_mismatch(fault: str, names: list[str]) -> str:
    more = f" and {len(names) - MAX_LISTED_NAMES} more" if len(names) > MAX_LISTED_NAMES else ""
    return f"{fault}: {', '.join(sorted(names)[:MAX_LISTED_NAMES])}{more}" if names else ""
