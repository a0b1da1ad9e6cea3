"""Dataset formats of other trainers. Separate from `export`, so that the command line starts without numpy."""

from enum import StrEnum


class ExportFormat(StrEnum):
    """Format of the dataset: LogiCls' own, which is a Hugging Face dataset, or that of another trainer."""

    hf = "hf"
    trl = "trl"
    llamafactory = "llamafactory"
    swift = "swift"
