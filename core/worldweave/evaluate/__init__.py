"""Measure how well a base follows its controls."""
