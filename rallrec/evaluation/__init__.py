"""Metrics with intervals by users, claims, slices, and what can be judged without a reader."""
