"""What generation, scoring and training share about a model: loading, chat templates, sequence layout."""
