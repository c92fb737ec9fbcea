"""How sure weights are, why they are what they are, and what they hang on."""
