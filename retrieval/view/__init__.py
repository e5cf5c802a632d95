"""What is searched: nearest vectors, words, filters."""
