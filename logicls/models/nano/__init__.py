"""nano: the embedded vision-language model, an ordinary Hugging Face model that needs no GPU and no download.

Importing this package makes `AutoModelForImageTextToText`, `AutoProcessor`, `AutoTokenizer` and `AutoConfig` know it.
"""

import transformers

from logicls.models.nano.config import NanoConfig
from logicls.models.nano.model import NanoForImageTextToText
from logicls.models.nano.processor import NanoImageProcessor, NanoProcessor

transformers.AutoConfig.register(NanoConfig.model_type, NanoConfig, exist_ok=True)
transformers.AutoModelForImageTextToText.register(NanoConfig, NanoForImageTextToText, exist_ok=True)
transformers.AutoImageProcessor.register(NanoConfig, image_processor_classes={"pil": NanoImageProcessor}, exist_ok=True)
transformers.AutoProcessor.register(NanoConfig, NanoProcessor, exist_ok=True)

__all__ = ["NanoConfig", "NanoForImageTextToText", "NanoImageProcessor", "NanoProcessor"]
