"""The proxy: a small language model cut after its middle block, with its tokenizer and checkpoint."""
