"""An adapter for nano, through peft: low-rank changes of its linear maps (Hu et al. 2021, arXiv 2106.09685).

All linear maps, six of ten weights, get adapters. The rest is trained as it is: the words, because a product's own
values are new ones, norms, the convolutions that make the map, and those of the stem unless the recipe says otherwise.
At the end the changes are added to the weights that they are changes of: a bundle has plain weights, and prediction
knows nothing of adapters.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from logicls.errors import BundleError, Problem
from logicls.models.hub.adapters import attached
from logicls.models.nano import NanoForImageTextToText
from logicls.train.recipe import LoraSettings


def adapted(model: NanoForImageTextToText, given: LoraSettings) -> Any:
    """An adapter (of peft) around the model, which changes in place: its adapted maps and the stem may be frozen."""
    from peft import LoraConfig

    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    adapter = attached(model, LoraConfig(r=given.rank, lora_alpha=given.alpha, target_modules=names))
    for name, weight in model.named_parameters():
        frozen = ".base_layer." in name or (name.startswith("stem.") and not given.stem)
        weight.requires_grad_(not frozen)
    return adapter


def merged(adapter: Any) -> NanoForImageTextToText:
    """The model with the changes added to its weights, as if it had never had an adapter.

    Raises:
        BundleError: Something of the adapter is left over, or a weight is missing (LC513).
    """
    model: NanoForImageTextToText = adapter.merge_and_unload()
    config: Any = model.config
    found, wanted = set(model.state_dict()), set(NanoForImageTextToText(config).state_dict())
    if found != wanted:
        odd = ", ".join(sorted(found ^ wanted)[:3])
        raise BundleError(Problem("LC513", f"weights of the adapter are missing or belong nowhere: {odd}.",
                                  advice="Train again."))  # fmt: skip
    return model
