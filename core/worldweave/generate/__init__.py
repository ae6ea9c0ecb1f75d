"""From a request to a video: the pipeline, chunk after chunk, and what it records."""
