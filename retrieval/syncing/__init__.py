"""Sources to a knowledge base: what is new, changed, gone."""
