"""The parts that prompts are made of, as a manifest lists them."""
