"""Reward models: trained on pairs, and measured on benchmarks. Importing this loads no torch."""
