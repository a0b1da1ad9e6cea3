"""Reader whose model runs on a server that implements OpenAI's API."""
