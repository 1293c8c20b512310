"""Near-duplicates: MinHash (rensa) of word 5-grams, candidates by bands, verified by the true Jaccard similarity.

What is known of each row stays on disk: `sketches` is what a row is measured by, `candidates` proposes rows that may be
alike, `verified` decides.
"""
