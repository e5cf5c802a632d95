"""A knowledge base's truth in SQLite: records, vectors, and what each file says of its picture."""
