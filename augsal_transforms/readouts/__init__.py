"""Readouts of photometric properties, classes and saliency from the frozen U-Net's features (Sec. 3)."""
