"""Vision-language models of the Hugging Face hub: any that transformers loads as image-text-to-text."""
