"""Fine-tuning of a model of the hub with a LoRA adapter, from preflight to the written bundle."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lightning
from lightning.pytorch.callbacks import Callback

from logicls.errors import Problem, RecipeError
from logicls.io.atomic import delete_temporary_files
from logicls.models.bundle import Bundle, load_bundle, write_hub_bundle
from logicls.models.hub.adapters import add_adapter, set_adapter_weights
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.bundle_io import HubModelInfo, describe_base, read_adapter
from logicls.models.hub.chat_template import read_chat_format
from logicls.models.hub.loading import (
    HubModel,
    box_format_for,
    choose_precision,
    conventions_for,
    find_checkpoint,
    load_model,
    load_processor,
)
from logicls.predict.self_test import write_probe
from logicls.train.appearance import fit_appearance
from logicls.train.calibration import calibrate
from logicls.train.distributed import ProcessRank
from logicls.train.hub_dataset import PREFETCH as READ_AHEAD
from logicls.train.hub_dataset import (
    HubBatches,
    HubCheckpointWriter,
    HubExamples,
    HubResamplingCallback,
    HubTrainingModule,
    open_rows,
)
from logicls.train.hub_preflight import (
    HubPreflightResult,
    check_shared_prefix,
    estimate_memory,
    format_bytes,
    measure_part_time,
    preflight_hub,
    read_available_memory,
)
from logicls.train.lightning_module import read_checkpoint_step, run_training_loop
from logicls.train.metrics_log import MetricsLog, StepCallback, TrainingObserver, plot_loss
from logicls.train.photo_split import SPLIT_COLUMNS, Split, describe_split, read_split, split_photos, write_split
from logicls.train.recipe import HubSettings, Recipe
from logicls.train.run import register_run
from logicls.train.sampler import (
    HEADER,
    LOOKAHEAD,
    STRATUM_COLUMNS,
    DifficultySampler,
    DifficultyTracker,
    StepSampler,
    UniformSampler,
    build_strata,
    plot_difficulty,
)

if TYPE_CHECKING:
    from peft import PeftModel


def fit_hub(
    synth: Path,
    out: Path,
    recipe: Recipe,
    *,
    resume: bool,
    start: Path | None,
    download: bool,
    observer: TrainingObserver,
) -> Bundle:
    """Train a LoRA adapter for the recipe's model on the dataset in `synth`, and write the bundle to `out`.

    LoRA: Hu et al. 2021, arXiv 2106.09685, section 4.1; `four_bit`: Dettmers et al. 2023, arXiv 2305.14314, section 3.
    Schedule, calibration and arguments as for `fit`; no early stopping, as evaluations cost too much.

    Raises:
        BundleError: The model is not on this machine, or cannot be used.
        DataError: The dataset cannot be used with this model.
        RecipeError: `resume` with another recipe, or `start` with a bundle of another model.
    """
    work = out / "work"
    register_run(work, recipe, resume=resume)
    delete_temporary_files(work)
    model, examples, hub = _load_all(synth, work, recipe, download=download)
    preflight_result = preflight_hub(examples, model, recipe.model, on_progress=observer.on_examples)
    check_shared_prefix(examples, model, recipe.model)
    lightning.seed_everything(recipe.seed, verbose=False)
    adapter = _attach_adapter(model, recipe.hub)
    if start is not None:
        _load_start_adapter(adapter, hub, start)
    base = _prepare_adapter(adapter, recipe)
    columns = examples.rows.select_columns(list(SPLIT_COLUMNS))
    split = split_photos(columns, recipe.validation, recipe.seed, previous=read_split(start) if start else None)
    costs = _describe_costs(examples, base, preflight_result, recipe)
    for line in [*preflight_result.report, *costs, *describe_split(split)]:
        observer.on_message(line)
    observer.on_plan(recipe.steps)
    last = work / "last.ckpt" if resume and (work / "last.ckpt").exists() else None
    _train(base, examples, split, recipe, last, out, observer.on_step)
    write_hub_bundle(
        out, adapter=adapter.eval(), processor=examples.processor, hub=hub, spec_file=synth / "spec.yaml",
        max_boxes=preflight_result.max_boxes + 1,
    )  # fmt: skip
    del model, adapter, base, examples  # the bundle loads the model anew: there may be no room for two
    bundle = load_bundle(out)
    fit_appearance(bundle, synth, observer.on_message, recipe.seed)
    write_probe(bundle, synth)
    write_split(out, split)
    calibrate(bundle, synth, split, recipe.seed, observer.on_message)
    plot_loss(out / "training.csv", out / "loss.png")
    if recipe.hard_example_mining:
        plot_difficulty(work / "difficulty.csv", out / "difficulty.png")
    return bundle


def _load_all(synth: Path, work: Path, recipe: Recipe, *, download: bool) -> tuple[Any, HubExamples, HubModelInfo]:
    """Load model and examples, and describe the model for the bundle."""
    settings, rows = recipe.hub, open_rows(synth, work)
    base = find_checkpoint(recipe.model, download=download)
    processor = load_processor(base.path, settings.processor)
    precision = choose_precision(settings.precision)
    model = load_model(base.path, precision=precision, four_bit=settings.four_bit)
    boxes = conventions_for(model.config.model_type).boxes
    codec = HubAnswerCodec(
        box_format_for(boxes, processor), read_chat_format(processor, recipe.model), processor.tokenizer
    )
    hub = describe_base(base, merged=settings.merge, precision=precision, four_bit=settings.four_bit, boxes=boxes)
    return model, HubExamples(rows, processor, codec), hub


def _attach_adapter(model: HubModel, settings: HubSettings) -> PeftModel:
    """Attach a new adapter to the model."""
    return add_adapter(
        model,
        rank=settings.rank,
        alpha=settings.alpha,
        dropout=settings.dropout,
        scope=settings.target_modules,
    )


def _prepare_adapter(adapter: PeftModel, recipe: Recipe) -> HubModel:
    """Return the model with its adapter, ready to train: only adapter weights are trainable."""
    if recipe.hub.four_bit:
        from peft import prepare_model_for_kbit_training

        prepare_model_for_kbit_training(adapter, use_gradient_checkpointing=False)
        for name, weight in adapter.named_parameters():
            weight.requires_grad_("lora_" in name)
    base = cast(HubModel, adapter.get_base_model())
    if recipe.hub.gradient_checkpointing:
        # transformers renamed it between two releases of version 5
        enable = getattr(base, "activation_checkpointing_enable", None) or base.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    base.train()
    return base


def _describe_costs(
    examples: HubExamples, model: HubModel, preflight_result: HubPreflightResult, recipe: Recipe
) -> list[str]:
    """Describe memory and time before they are spent."""
    rows = recipe.batch // recipe.hub.accumulate
    memory = estimate_memory(
        model, rows=rows, tokens=preflight_result.lengths[-1], answer_tokens=preflight_result.answer_tokens,
        gradient_checkpointing=recipe.hub.gradient_checkpointing,
    )  # fmt: skip
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    available = read_available_memory()
    lines = [
        f"{trained:,} trainable weights of {sum(weight.numel() for weight in model.parameters()):,}",
        f"memory: about {format_bytes(memory.total)} (weights {format_bytes(memory.weights)}, optimizer "
        f"{format_bytes(memory.optimizer)}, activations {format_bytes(memory.activations)}, logits "
        f"{format_bytes(memory.logits)}); this machine has {format_bytes(available)}",
    ]
    if memory.total > available:
        lines.append("warning: this may not fit; raise hub.accumulate, set hub.gradient_checkpointing, or hub.four_bit")
    seconds = measure_part_time(examples, model, preflight_result, rows) * recipe.hub.accumulate
    return [*lines, f"time: about {seconds * recipe.steps / 60:.0f} min, at most {seconds:.1f} s per step"]


def _train(
    model: HubModel,
    examples: HubExamples,
    split: Split,
    recipe: Recipe,
    checkpoint: Path | None,
    out: Path,
    on_step: StepCallback,
) -> None:
    """Run the training loop."""
    start = read_checkpoint_step(checkpoint)
    sampler = _make_sampler(examples, split, recipe)
    batches = HubBatches(
        examples, sampler=sampler, start=start, stop=recipe.steps, parts=recipe.hub.accumulate,
        jitter=recipe.jitter, verdict_weight=recipe.verdict_weight, seed=recipe.seed,
    )  # fmt: skip
    module = HubTrainingModule(
        model, steps=recipe.steps, lr=recipe.lr, weight_decay=recipe.weight_decay, seed=recipe.seed
    )
    with ExitStack() as stack:
        log = stack.enter_context(MetricsLog(out / "training.csv", start, "step,loss"))

        def record_step(step: int, loss: float) -> None:
            log.add(step, loss)
            on_step(step, loss)

        callbacks: list[Callback] = [
            HubCheckpointWriter(out / "work" / "last.ckpt", every=recipe.checkpoint_every, on_step=record_step)
        ]
        if isinstance(sampler, DifficultySampler):
            class_log = stack.enter_context(MetricsLog(out / "work" / "difficulty.csv", start, HEADER))
            callbacks.insert(0, HubResamplingCallback(sampler, class_log))
        run_training_loop(
            module,
            batches,
            callbacks,
            steps=recipe.steps,
            checkpoint=checkpoint,
            rank=ProcessRank(),
            parts=recipe.hub.accumulate,
        )


def _make_sampler(examples: HubExamples, split: Split, recipe: Recipe) -> StepSampler:
    """Make the sampler of examples."""
    if not recipe.hard_example_mining:
        return UniformSampler(split.train, batch=recipe.batch, seed=recipe.seed)
    difficulty = DifficultyTracker(build_strata(examples.rows.select_columns(list(STRATUM_COLUMNS))), split.train)
    return DifficultySampler(
        difficulty, split.train, batch=recipe.batch, seed=recipe.seed, lookahead=LOOKAHEAD + READ_AHEAD
    )


def _load_start_adapter(adapter: PeftModel, hub: HubModelInfo, start: Path) -> None:
    """Load the adapter of a bundle with the same base model. Raises `RecipeError` (LC412)."""
    stored, weights = read_adapter(start)
    if stored is None or stored.merged or stored.sha256 != hub.sha256:
        message = "holds no adapter of this model."
        raise RecipeError(Problem("LC412", message, str(start), advice="Train from scratch, without --from."))
    set_adapter_weights(adapter, weights, start)
