"""One knowledge base on disk, with what is derived from its database."""
