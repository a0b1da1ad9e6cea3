"""nano: the embedded vision-language model, a Hugging Face model that runs on a CPU and ships with the package.

Importing this package registers it with `AutoModelForImageTextToText`, `AutoProcessor`, `AutoTokenizer` and
`AutoConfig`.
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
