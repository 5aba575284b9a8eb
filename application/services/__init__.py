"""One use case a file: a frozen callable with its ports injected, plain arguments in, values out."""
