"""Maps: from what a request says to values on the tokens of each chunk."""
