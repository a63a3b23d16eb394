"""Fixation-shift studies: gaze on images before and after edits (Sec. 5.4)."""
