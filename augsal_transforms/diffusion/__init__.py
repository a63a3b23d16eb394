"""The frozen diffusion model: its networks, prompts, attention, letterbox, batches and calibration."""
