"""One image in, one edited image out."""
