"""Synthesis of training data: edits, augmentation and sampling of annotated photos."""

import os

# Set before albumentations is imported: LogiCls makes no network requests at run time.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
