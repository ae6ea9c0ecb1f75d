"""The stages of the measurement on a GPU: predictions, parts, records, report."""
