"""Edits to look at: a page and a figure of a store's edits, and a figure of how a region was found."""
