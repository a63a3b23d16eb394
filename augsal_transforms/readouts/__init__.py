"""What the frozen U-Net's features know: photometric properties, classes and saliency (Sec. 3)."""
